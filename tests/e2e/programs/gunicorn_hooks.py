"""The project's settings for gunicorn, with hooks that a user added."""

from pacifica.dispatcher.gunicorn_conf import *


def pre_request(worker, req):
    print("asked", req.method, req.path, flush=True)


def post_request(worker, req, environ, resp):
    print("answered", environ["PATH_INFO"], resp.status, flush=True)
