"""One connection of a client: how long a head may be, how long it may take to arrive, and how many are open at once.

uvicorn bounds none of these but the head's length, and only with the parser h11. A body is bounded by the app.
"""

import http
from typing import Any

from ganzoo.serving import wire
from ganzoo.serving.middleware import SECURITY

HEAD_BYTES = 2**14
HEAD_SECONDS = 10.0  # from the connection, or the answer before, to the end of a head
LINGER = 1.0  # seconds for a client to read a refusal while it still sends


def protocol(limits):
    """uvicorn's protocol class with the limits of `app.Limits`. The server calls `check` of each a few times a second."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.since = self.drained = self.loop.time()
            self.half_closed = self.refused = False
            if len(self.connections) > limits.connections:
                self._make_room()

        def data_received(self, data):
            # In pieces: h11 compares a head with its limit only when it has parsed what it was given.
            for start in range(0, len(data), HEAD_BYTES):
                if self.refused or self.transport.is_closing():
                    return
                super().data_received(data[start : start + HEAD_BYTES])

        def eof_received(self):
            """A client that has sent all its requests may close its side and wait for the answers."""
            self.half_closed = True
            return self._answering()

        def on_response_complete(self):
            self.since = self.loop.time()
            super().on_response_complete()
            if self.half_closed and not self._answering():
                self.transport.close()

        def send_400_response(self, msg):
            """Called where the bytes are no HTTP, or more than one head may have."""
            if len(self.conn.trailing_data[0]) > HEAD_BYTES:
                self._refuse(431, f"The request's head is longer than {HEAD_BYTES:,} bytes.")
            else:
                self._refuse(400, "Malformed HTTP request.")

        def check(self):
            """Ends the connection if the client is late with its head or with reading its answer."""
            now = self.loop.time()
            if self.transport.get_write_buffer_size() == 0:
                self.drained = now
            if now - self.drained > limits.timeout:
                self.transport.abort()
            elif self.transport.is_closing():
                return
            elif self.refused and now - self.since > LINGER:
                self.transport.close()
            elif self._between() and now - self.since > min(HEAD_SECONDS, limits.timeout):
                if self.conn.trailing_data[0]:
                    self._refuse(408, "The request's head did not arrive in time.")
                else:
                    self.transport.close()

        def _between(self):
            """Whether no request is under way: its head has not arrived."""
            return self.cycle is None or self.cycle.response_complete

        def _answering(self):
            return not self._between() and not self.cycle.more_body

        def _make_room(self):
            """Ends those that have been sending for longest: a client needs milliseconds. Some at once, since each costs a search."""
            others: list[Any] = list(self.connections)  # uvicorn says "any of its protocols"; all are of this class
            idle = [other for other in others if other is not self and not other._answering()]
            if idle:
                for other in sorted(idle, key=lambda other: other.since)[: max(1, limits.connections // 8)]:
                    self.connections.discard(other)
                    other.transport.abort()
            else:
                self._refuse(
                    503, "The server answers as many requests as it can. Try again soon.", ((b"retry-after", b"2"),)
                )

        def _refuse(self, status, sentence, more=()):
            """Answers in place of the app, if an answer can still begin. What the client goes on to send is not read."""
            body = wire.dumps({"error": sentence})
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            headers += [(b"connection", b"close"), *more, *SECURITY]
            self.refused, self.since = True, self.loop.time()
            if self.cycle is not None:  # the app learns that nothing more comes, and answers nobody
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            try:
                reason = http.HTTPStatus(status).phrase.encode()
                start = h11.Response(status_code=status, headers=headers, reason=reason)
                self.transport.write(
                    b"".join(self.conn.send(event) or b"" for event in (start, h11.Data(data=body), h11.EndOfMessage()))
                )
            except h11.LocalProtocolError:  # an answer has begun, or may have no body
                self.transport.close()
                return
            self.transport.write_eof()

    return Connection
