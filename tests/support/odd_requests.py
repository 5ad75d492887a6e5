"""Requests to the admin listener that no browser sends, as bytes. The tests decide what the responses must be."""

from __future__ import annotations

import re
from collections.abc import Iterator

HOST = "127.0.0.1"
PATHS = (
    "/",
    "/livez",
    "/metrics",
    "/status",
    "/console/state",
    "/console/profiles",
    "/console/invitations",
    "/console/static/console.js",
    "/console/session",
    "/console/session/end",
    "/console/accounts/acme/refresh",
    "/login/acme",
    "/login/acme/begin",
    "/login/acme/replace",
    "/login/callback",
)
ODD_TEXTS = (
    "[",
    "http://[",
    "http://[::1",
    "http://]:80",
    "http://[::1]:port",
    "http://[v1.x]",
    "http://a\u00e9.test",
    "http://\u2100.test",
    "http://a:99999999",
    "http://user:pass@127.0.0.1",
    "//[",
    "://",
    "null",
    "%",
    "%00",
    "%zz",
    "\x7f",
    "\x80\xff",
    "a" * 300,
    "a" * 5000,
    "../" * 40,
    "\\\\server\\share",
    "*",
    " ",
)
FIELDS = (
    "Origin",
    "Referer",
    "Host",
    "Cookie",
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Content-Type",
    "Content-Encoding",
    "Expect",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Range",
    "Sec-Fetch-Site",
    "Sec-Fetch-Mode",
    "Transfer-Encoding",
    "Upgrade",
    "Connection",
    "X-Ads-Proxy-Key",
    "X-Request-Id",
)
METHODS = ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "BREW", "get", "G" * 300)
FORM = "Content-Type: application/x-www-form-urlencoded"
EXPECTATIONS = ("100-continue", "200-ok", "100-Continue, x", "x" * 2000, "")
RANGES = ("bytes=0-", "bytes=-0", "bytes=9-1", "bytes=99999999-", "bytes=a-b", "bytes=0-1,3-4", "x=1-2", "bytes=-")
DATES = ("Thu, 99 Foo 9999 99:99:99 GMT", "0", "Thu, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT")
TARGETS = (
    "*",
    "http://[",
    "http://127.0.0.1/livez",
    "http://user:x@127.0.0.1/status",
    "//[/x",
    "/[",
    "/%",
    "/%00",
    "/%ff%fe",
    "/a;b?c#d",
    "/console/profiles?search=%ff&account=%00",
    "/console/profiles?search=" + "a+" * 3000,
    "/console/profiles?" + "&".join(f"a{number}=b" for number in range(1000)),
    "/login/" + "a" * 4000,
    "/login/%00",
    "/login/%2e%2e",
    "/login/acme%0d%0aX:y",
    "/login/acme?at=1&at=2",
    "/login/callback?code=%ff&state=%ff",
    "/login/callback?" + "code=x&" * 500,
    "/login/callback?state=" + "s" * 7000,
    "/login/callback?error=" + "e" * 7000 + "&state=x",
    "/login/callback?state=%ed%a0%80",
    "/login/callback?state=\u00e9",
    "/console/accounts/%00/refresh",
    "/console/accounts/" + "a" * 4000 + "/refresh",
    "/console/static/",
    "/console/static/" + "a" * 300,
    "/console/static/" + "a" * 300 + ".js",
    "/console/static/" + "a" * 5000 + ".css",
    "/console/static/" + "%61" * 400 + ".js",
    "/console/static/%00.js",
    "/console/static/console.js%00.js",
    "/console/static/%ed%a0%80.js",
    "/console/static/..%2f..%2fview.py",
    "/console/static/.%2f.js",
    "/" + "a" * 8000,
    "/" + "a" * 20000,
    "/" + "%2e%2e/" * 500,
)
RAW = (b"\xff", b"\xed\xa0\x80", b"login/\xff", b"console/static/\xff.js", b"console/profiles?a=\xff", b"%ed%a0%80")
RESTS = (b"Accept: text/html\r\nConnection: close\r\n\r\n", b"Connection: close\r\n\r\n")
LANDINGS = (
    "http://[",
    "https://[::1/?code=a",
    "//[?code=a",
    "https://amazon.com:port/?code=a",
    "https://a\u2100b/?code=x",
    "?" + "code=a&" * 2000,
    "code=" + "a" * 60000,
    "\x00",
    "%",
    "?code=%ff",
    "https://amazon.com/?code=a;b&error",
    "=",
    "?",
    "\ud800",
)


def request(method: str, target: str, *lines: str, body: bytes = b"", host: str = HOST) -> bytes:
    """One request with `Connection: close`, whatever is in it."""
    fields = [*([f"Host: {host}"] if host else []), *lines, "Connection: close"]
    if body:
        fields.append(f"Content-Length: {len(body)}")
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in fields) + "\r\n"
    return head.encode("utf-8", "surrogatepass") + body


def _forms() -> Iterator[bytes]:
    for landing in LANDINGS:
        text = "".join(f"%{byte:02x}" for byte in landing.encode("utf-8", "surrogatepass"))
        for form in (f"state=x&landing={text}", f"landing={text}", f"key={text}", f"key=x&next={text}"):
            for path in ("/login/acme", "/console/session"):
                yield request("POST", path, FORM, body=form[:60000].encode())
    yield request("POST", "/login/acme", FORM, body=b"state=%ed%a0%80&landing=code%3da")
    yield request("POST", "/login/acme", FORM, body=b"&" * 5000)
    yield request("POST", "/console/session", f"{FORM}; charset=x-none", body=b"key=a")
    yield request("POST", "/console/session", f"{FORM}; charset=utf-16", body=b"key=a")
    yield request("POST", "/console/session", "Content-Type: multipart/form-data; boundary=", body=b"--\r\n")
    yield request("POST", "/console/session", "Content-Type: /;;;", body=b"key=a")
    yield request("POST", "/console/session", FORM, "Content-Encoding: br", body=b"key=a")
    yield request("POST", "/console/session", FORM, "Content-Encoding: gzip", body=b"key=a")
    yield request("POST", "/console/session", FORM, "Content-Length: 99999999999999999999")
    yield request("POST", "/console/session", FORM, "Transfer-Encoding: chunked", body=b"zz")


def odd_requests() -> list[bytes]:
    """Several hundred, each of its own kind."""
    found = [request("GET", path, f"{name}: {text}") for name in FIELDS for path in PATHS[:4:3] for text in ODD_TEXTS]
    found += [request("GET", "/", f"{name}: {text}", host="") for name in ("Host",) for text in ODD_TEXTS]
    found += [request(method, path) for method in METHODS for path in PATHS]
    found += [request("GET", target) for target in TARGETS]
    found += [request("POST", target, "X-Ads-Proxy-Console: 1") for target in TARGETS]
    for path in PATHS:
        found += [request("POST", path, FORM, f"Expect: {text}", body=b"key=a") for text in EXPECTATIONS]
        found += [request("GET", path, f"Expect: {text}") for text in EXPECTATIONS]
        found += [request("POST", path, FORM, f"Origin: {text}", body=b"key=a") for text in ODD_TEXTS[:12]]
    found += [request("GET", "/console/static/console.js", f"Range: {text}") for text in RANGES]
    found += [request("GET", "/console/static/console.js", f"If-Modified-Since: {text}") for text in DATES]
    found += [request("GET", "/", f"If-Range: {text}", "Range: bytes=0-1") for text in (*DATES, *ODD_TEXTS[:6])]
    found += [request("GET", "/", *["X: y"] * count) for count in (100, 500)]
    found += [b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"]
    found += [b"GET /" + raw + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + rest for raw in RAW for rest in RESTS]
    found += [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\t/\tHTTP/1.1\r\n\r\n"]
    return [*found, *_forms()]


def status_of(answer: bytes) -> int:
    """The status of the final answer in what came back, of whichever version; 0 where there was none."""
    found = re.match(rb"(?:HTTP/1\.[01] 100 [^\r]*\r\n\r\n)?HTTP/[01]\.[019] ([0-9]{3}) ", answer)
    return int(found[1]) if found else 0
