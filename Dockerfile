# The image of both services of the project in docker-compose.yml, `web` and `worker`.
FROM python:3.13-slim

WORKDIR /opt/pacifica-dispatcher
COPY requirements.lock ./
RUN pip install --no-cache-dir -r requirements.lock
COPY pyproject.toml setup.py README.md LICENSE COPYING ./
COPY pacifica ./pacifica
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

# Data, such as an SQLite file, are in the volume; config.ini and task modules are mounted at /etc/dispatcher.
RUN useradd --system --uid 10001 --home-dir /srv/dispatcher --create-home dispatcher
USER dispatcher
WORKDIR /srv/dispatcher
VOLUME /srv/dispatcher
ENV PYTHONPATH=/etc/dispatcher PYTHONUNBUFFERED=1
EXPOSE 8050
CMD ["pacifica-dispatcher", "-a", "0.0.0.0"]
