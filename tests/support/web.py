"""The running product's pages without a browser: sign in, GET, POST with the token."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

from tests.support.product import PASSWORD


class Web:
    """One signed-in person. Answers are (status, address, body); redirects are followed."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.jar = CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.post("/account/login/", {"username": name, "password": PASSWORD})

    def get(self, path: str) -> tuple[int, str, bytes]:
        return self._send(urllib.request.Request(self.url + path))

    def post(self, path: str, data: dict[str, str], *, form: str = "") -> tuple[int, str, bytes]:
        """Send a form; `form` is the page that it stands on, when that is another one."""
        page = self.get(form or path)[2].decode("utf-8", "replace")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token, f"no form on {form or path}"
        body = urllib.parse.urlencode({"csrfmiddlewaretoken": token.group(1), **data}).encode()
        return self._send(urllib.request.Request(self.url + path, data=body, headers={"Referer": self.url + path}))

    def _send(self, request: urllib.request.Request) -> tuple[int, str, bytes]:
        try:
            with self.opener.open(request, timeout=60) as answer:
                return answer.status, answer.url.removeprefix(self.url), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, request.full_url.removeprefix(self.url), error.read()
