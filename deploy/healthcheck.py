"""Check whether the program in this container answers: exit 0 or 1. The image has no curl.

An answer that refuses the host 127.0.0.1, because of ALLOWED_HOSTS, counts as an answer.
"""

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=4)
try:
    connection.request("GET", "/health")
    sys.exit(connection.getresponse().status >= http.client.INTERNAL_SERVER_ERROR)
except OSError as error:
    sys.exit(str(error))
