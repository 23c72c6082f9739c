"""A small server that speaks the part of the Hub's API which ganzoo uses, for the real client library (`HF_ENDPOINT`).

It keeps commits in memory: repositories are made, branches too, files are committed (all of them in the commit itself), and
read by branch or commit. A token is asked for where something is written, or where the repository is private.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading

TOKEN = "hf_test"


class Hub:
    """The state: repository -> {"private", "branches": {name: commit}, "commits": {commit: {file: bytes}}}."""

    def __init__(self):
        self.repositories: dict[str, dict] = {}
        self.asked: list[str] = []
        self.torn: set[str] = set()  # files of which the server sends half

    def create(self, name: str, private: bool = False) -> None:
        first = self.commit_id({})
        self.repositories.setdefault(name, {"private": private, "branches": {"main": first}, "commits": {first: {}}})

    @staticmethod
    def commit_id(files: dict[str, bytes]) -> str:
        return hashlib.sha1(b"".join(k.encode() + v for k, v in sorted(files.items()))).hexdigest()

    def commit(self, name: str, branch: str, files: dict[str, bytes]) -> str:
        held = self.repositories[name]
        whole = held["commits"][held["branches"][branch]] | files
        number = self.commit_id(whole)
        held["commits"][number], held["branches"][branch] = whole, number
        return number


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def answer(self, status: int, value=None, data: bytes | None = None, **headers: str) -> None:
        body = json.dumps(value if value is not None else {}).encode() if data is None else data
        self.send_response(status)
        for key, text in headers.items():
            self.send_header(key.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refused(self, repository: str | None, revision: str | None = None) -> bool:
        """Whether the request has been answered with the Hub's own errors."""
        known = self.hub.repositories.get(repository or "")
        authorised = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.command == "POST" and not authorised:
            self.answer(401, {"error": "Invalid credentials"})
        elif known is None or (known["private"] and not authorised):
            self.answer(401 if known else 404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        elif revision is not None and revision not in known["branches"] | known["commits"]:
            self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
        else:
            return False
        return True

    def do_HEAD(self):
        self.hub.asked.append(f"{self.command} {self.path}")
        found = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", self.path)
        if not found:
            self.answer(404)
            return
        name, revision, file = found.groups()
        if self.refused(name, revision):
            return
        held = self.hub.repositories[name]
        number = held["branches"].get(revision, revision)
        data = held["commits"][number].get(file)
        if data is None:
            self.answer(404, X_Error_Code="EntryNotFound", X_Error_Message="Entry not found", X_Repo_Commit=number)
            return
        etag = f'"{hashlib.sha1(data).hexdigest()}"'
        if file in self.hub.torn and self.command == "GET":
            self.send_response(200)
            for key, text in (("ETag", etag), ("X-Repo-Commit", number), ("Content-Length", str(len(data)))):
                self.send_header(key, text)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        self.answer(200, data=data, ETag=etag, X_Repo_Commit=number, Accept_Ranges="bytes")

    do_GET = do_HEAD

    def do_POST(self):
        self.hub.asked.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
            return
        if self.path == "/api/repos/create":
            value = json.loads(body)
            name = f"{value['organization']}/{value['name']}" if value.get("organization") else f"me/{value['name']}"
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.answer(401, {"error": "Invalid credentials"})
                return
            if name in self.hub.repositories:
                self.answer(409, {"error": "You already created this model repo", "url": f"{self.base()}/{name}"})
                return
            self.hub.create(name, bool(value.get("private")))
            self.answer(200, {"url": f"{self.base()}/{name}", "id": "1"})
            return
        found = re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/(preupload|commit|branch)/([^/?]+)(\?.*)?", self.path)
        if not found:
            self.answer(404)
            return
        name, what, revision, _ = found.groups()
        if self.refused(name, None if what == "branch" else revision):
            return
        held = self.hub.repositories[name]
        if what == "branch":
            if revision in held["branches"]:
                self.answer(409, {"error": "exists"})
                return
            held["branches"][revision] = held["branches"]["main"]
            self.answer(200)
        elif what == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in json.loads(body)["files"]
            ]
            self.answer(200, {"files": files})
        else:
            rows = [json.loads(line) for line in body.splitlines()]
            files = {
                row["value"]["path"]: base64.b64decode(row["value"]["content"]) for row in rows if row["key"] == "file"
            }
            number = self.hub.commit(name, revision, files)
            self.answer(
                200, {"commitUrl": f"{self.base()}/{name}/commit/{number}", "commitOid": number, "success": True}
            )

    def base(self) -> str:
        return f"http://{self.headers['Host']}"


@contextlib.contextmanager
def running():
    """(the hub, its address) while the body runs."""
    hub = Hub()
    handler = type("OneHub", (Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
