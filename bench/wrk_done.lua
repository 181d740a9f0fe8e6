-- wrk calls this at its end; bench/wrk.py reads the line.
function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format('bench-wrk {"requests": %d, "microseconds": %d, "refused": %d, "broken": %d}',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
