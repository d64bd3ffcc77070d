"""ClickHouse over HTTP, for tests.

There is no ClickHouse server to install from Debian; its engine there is, as the Python package chdb. This gives that
engine the HTTP interface of the server, as far as an adapter uses it: one statement for each request, sessions, settings
as parameters, users with a password, TLS, the headers of errors and summaries. All that is answered is the engine's own.

    python server.py FOLDER PORT FILE CERTIFICATE KEY USER PASSWORD

Listens with TLS on a port of its own choice, which it writes into FILE, and then without on PORT.
"""

import json
import re
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import chdb

FOLDER, PORT, TLS_PORT_FILE, CERTIFICATE, KEY, USER, PASSWORD = sys.argv[1:8]

# Parameters of a request that are no settings.
NO_SETTINGS = {
    "database", "default_format", "query", "query_id", "session_check", "session_id", "session_timeout", "wait_end_of_query",
}

CODE = re.compile(r"Code: (\d+)\.")

# What the engine takes several of in one call, and a server refuses.
SECOND_STATEMENT = re.compile(
    rb"""(?: '(?:\\.|''|[^'\\])*' | "(?:\\.|""|[^"\\])*" | `(?:\\.|``|[^`\\])*`
           | --[^\n]*+ | \#[ !][^\n]*+ | /\*.*?\*/ | \$(\w*)\$.*?\$\1\$ | [^;'"`] )*+
         ; (?: \s | --[^\n]*+ | /\*.*?\*/ | ; )*+ \S""",
    re.VERBOSE | re.DOTALL,
)


class Session:
    """A session of a client: settings, temporary tables and the current database stay in it."""

    def __init__(self):
        self.engine = chdb.connect(FOLDER)
        self.busy = threading.Lock()

    def run(self, statement, form):
        return self.engine.query(statement, form)


SESSIONS = {}
SESSIONS_LOCK = threading.Lock()


def session_of(name, check):
    if not name:
        return Session()
    with SESSIONS_LOCK:
        if check == "1" and name not in SESSIONS:
            raise Refused(404, 372, "SESSION_NOT_FOUND", f"Session {name} not found")
        return SESSIONS.setdefault(name, None) or SESSIONS.update({name: Session()}) or SESSIONS[name]


class Refused(Exception):
    def __init__(self, status, code, name, message):
        super().__init__(f"Code: {code}. DB::Exception: {message}. ({name})")
        self.status, self.code = status, code


def literal(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(200, b"Ok.\n", {})

    def do_POST(self):
        body = self.body()
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        try:
            self.authenticate()
            answer, summary = self.run(parameters, body)
            self.answer(200, answer, {"X-ClickHouse-Summary": json.dumps(summary)})
        except Refused as refused:
            self.fail(refused.status, refused.code, str(refused))
        except Exception as error:  # The engine's errors have no type of their own.
            text = str(error)
            found = CODE.search(text)
            self.fail(500, found.group(1) if found else "1002", text)

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def authenticate(self):
        user, key = self.headers.get("X-ClickHouse-User", "default"), self.headers.get("X-ClickHouse-Key", "")
        if (user, key) != (USER, PASSWORD):
            message = f"{user}: Authentication failed: password is incorrect, or there is no user with such name"
            raise Refused(403, 516, "AUTHENTICATION_FAILED", message)

    def run(self, parameters, body):
        if SECOND_STATEMENT.match(body):
            message = "Syntax error (Multi-statements are not allowed)"
            raise Refused(400, 62, "SYNTAX_ERROR", message)
        if not body.strip():
            raise Refused(400, 62, "SYNTAX_ERROR", "Syntax error: failed at position 1 (end of query)")
        session = session_of(parameters.get("session_id"), parameters.get("session_check"))
        if not session.busy.acquire(blocking=False):
            message = "Session is locked by a concurrent client"
            raise Refused(500, 373, "SESSION_IS_LOCKED", message)
        try:
            for name, value in parameters.items():
                if name not in NO_SETTINGS:
                    session.run(f"SET {name} = {literal(value)}", "Null")
            if "database" in parameters:
                session.run("USE `" + parameters["database"].replace("`", "``") + "`", "Null")
            form = parameters.get("default_format", "TabSeparated")
            result = session.run(body.decode("utf-8"), form)
            summary = {"read_rows": str(result.rows_read()), "written_rows": str(result.rows_written())}
            return result.bytes(), summary
        finally:
            session.busy.release()

    def fail(self, status, code, text):
        answer = text.encode("utf-8", "replace") + b"\n"
        self.answer(status, answer, {"X-ClickHouse-Exception-Code": str(code)})

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        # A client that is gone is none of ours.
        pass


def main():
    Session().run("SELECT 1", "Null")
    encrypted = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    encrypted.socket = context.wrap_socket(encrypted.socket, server_side=True)
    threading.Thread(target=encrypted.serve_forever, daemon=True).start()
    with open(TLS_PORT_FILE, "w") as file:
        print(encrypted.server_port, file=file)
    Server(("127.0.0.1", int(PORT)), Handler).serve_forever()


main()
