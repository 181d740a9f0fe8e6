"""gunicorn's settings: ``gunicorn -c python:pacifica.dispatcher.gunicorn_conf pacifica.dispatcher.wsgi:application``.

Options of its command line win over these.
"""

worker_class = "pacifica.dispatcher.web.server.gthread.Worker"
logger_class = "pacifica.dispatcher.web.server.gunicorn_log.Logger"
bind = "127.0.0.1:8050"
workers = 2
threads = 8

# Seconds of silence between two requests, and seconds in which a request's head must have come.
keepalive = 10
# Connections of each worker; any further one is answered 503.
worker_connections = 500

# The longest request line, of which the application takes 8,000 characters, and the largest head, in bytes.
limit_request_line = 8190
limit_request_field_size = 32_768
limit_request_fields = 100

# Files are not what it sends, and the socket of an answer waits for no client.
sendfile = False
