#!/usr/bin/env python3
"""Drives a headless browser: one command a line on standard input, one answer a line on standard output.

    open URL        goes to a page
    theme NAME      light or dark
    size W H        of the window
    wait SCRIPT     until it is true; answers with its value
    eval SCRIPT     answers with its value, as JSON
    login NAME PASSWORD  what a person answers when the browser asks for them
    shot FILE       writes a picture of the whole page

    browse.py chromium < commands

It needs nothing but Python's standard library: the browser is spoken to over a pair of pipes.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time

# The longest a script may stay false.
PATIENCE = 30


class Browser:
    def __init__(self, program, profile):
        from_us, to_browser = os.pipe()
        from_browser, to_us = os.pipe()
        # The browser reads from 3 and writes to 4, whatever these are called here.
        line = f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}'
        self.process = subprocess.Popen(
            ["sh", "-c", line, program, "--headless", "--no-sandbox", "--disable-gpu",
             "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage",
             f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=(from_us, to_us), stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self.output, self.input = os.fdopen(to_browser, "wb", 0), os.fdopen(from_browser, "rb", 0)
        self.rest, self.number, self.session, self.said = b"", 0, None, []
        self.answer = None
        pages = self.call("Target.getTargets")["targetInfos"]
        page = next(page for page in pages if page["type"] == "page")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def message(self):
        while b"\0" not in self.rest:
            more = self.input.read(1 << 16)
            if not more:
                raise SystemExit("the browser has ended")
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def send(self, method, **params):
        self.number += 1
        call = {"id": self.number, "method": method, "params": params}
        if self.session:
            call["sessionId"] = self.session
        self.output.write(json.dumps(call).encode() + b"\0")
        return self.number

    def call(self, method, **params):
        number = self.send(method, **params)
        while True:
            message = self.message()
            self.note(message)
            if message.get("id") == number:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]

    def note(self, message):
        """Keeps what the page complains of: errors of its scripts, and what its policy forbids."""
        params = message.get("params", {})
        if message.get("method") == "Fetch.requestPaused":
            self.send("Fetch.continueRequest", requestId=params["requestId"])
        if message.get("method") == "Fetch.authRequired":
            self.send("Fetch.continueWithAuth", requestId=params["requestId"],
                      authChallengeResponse=self.answer)
            # Once: it is asked again only if that was wrong.
            self.answer = {"response": "CancelAuth"}
        if message.get("method") == "Runtime.exceptionThrown":
            self.said.append(json.dumps(params["exceptionDetails"])[:500])
        entry = params.get("entry", {})
        if message.get("method") == "Log.entryAdded" and entry.get("source") in ("security", "javascript"):
            self.said.append(entry["text"])

    def eval(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in result:
            raise SystemExit(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, script):
        end = time.monotonic() + PATIENCE
        while not (value := self.eval(script)):
            if time.monotonic() > end:
                text = self.eval("document.body.innerText")
                raise SystemExit(f"never true: {script}\n{text}\n{self.said}")
            time.sleep(0.05)
        return value

    def do(self, command, words):
        if command == "open":
            self.call("Page.navigate", url=words)
            # What is in the document is there, whatever its scripts still do.
            self.wait("document.readyState !== 'loading'")
        elif command == "login":
            name, password = words.split()
            self.answer = {"response": "ProvideCredentials", "username": name, "password": password}
            self.call("Fetch.enable", handleAuthRequests=True)
        elif command == "theme":
            feature = {"name": "prefers-color-scheme", "value": words}
            self.call("Emulation.setEmulatedMedia", features=[feature])
        elif command == "size":
            width, height = map(int, words.split())
            self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                      deviceScaleFactor=1, mobile=width < 600)
        elif command == "wait":
            return self.wait(words)
        elif command == "eval":
            return self.eval(words)
        elif command == "shot":
            picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
            with open(words, "wb") as file:
                file.write(base64.b64decode(picture["data"]))
        elif command == "complaints":
            return self.said
        else:
            raise SystemExit(f"unknown command {command}")
        return None


def main():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(sys.argv[1], profile)
        try:
            for line in sys.stdin:
                command, _, words = line.strip().partition(" ")
                print(json.dumps(browser.do(command, words)), flush=True)
        finally:
            browser.process.terminate()
            browser.process.wait()


if __name__ == "__main__":
    main()
