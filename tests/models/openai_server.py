"""A model server on loopback, for tests of what asks one."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """An OpenAI-compatible server on loopback that answers as `reply(turns)` says; `asked` are the requests it got.

    A number in place of a text is the status of the reply. Its first replies have the `statuses`, a text in place of a number being the
    whole body of a reply with status 200. `usage` and `finish` stand in its replies, and each takes `seconds`.
    """

    def __init__(self, reply, statuses=(), usage=None, finish="stop", seconds=0.0):
        self.asked, statuses = [], list(statuses)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append((self.path, dict(self.headers), body))
                status = statuses.pop(0) if statuses else 200
                said = reply(body["messages"])
                status = said if isinstance(said, int) else status
                choice = {"message": {"content": said}, "finish_reason": finish}
                content = json.dumps({"choices": [choice], "usage": usage}).encode()
                if isinstance(status, str):
                    status, content = 200, status.encode()
                threading.Event().wait(seconds)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
