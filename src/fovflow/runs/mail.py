"""Send one e-mail: ``python -m fovflow.runs.mail`` takes it as JSON on its standard input.

It is a process of its own so that a mail server that does not answer holds nothing up. The password
comes from the environment variable that the settings name; it is in no record.
"""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import sys
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

TIMEOUT_S = 20.0


def send_mail(smtp: Mapping[str, Any], subject: str, text: str) -> None:
    """Send an e-mail through the user's own server.

    Parameters
    ----------
    smtp : mapping
        The keys of `fovflow.config.alerts.SmtpConfig`.
    subject, text : str

    Raises
    ------
    OSError, smtplib.SMTPException
        If the server cannot be reached or refuses.
    KeyError
        If the environment variable of the password is absent.
    """
    message = EmailMessage()
    message["Subject"] = " ".join(subject.split())
    message["From"] = smtp["sender"]
    message["To"] = ", ".join(smtp["to"])
    message.set_content(text)
    security = smtp.get("security", "starttls")
    secure = ssl.create_default_context() if security != "none" else None
    host, port = smtp["host"], int(smtp.get("port", 587))
    server: smtplib.SMTP
    if security == "ssl":
        server = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=secure)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    with server:
        if security == "starttls":
            server.starttls(context=secure)
        if smtp.get("user"):
            variable = smtp.get("password_env") or ""
            server.login(smtp["user"], os.environ[variable] if variable else "")
        server.send_message(message)


def main() -> int:
    """Send what stands on the standard input; say in one line why that failed."""
    content = json.load(sys.stdin)
    try:
        send_mail(content["smtp"], content["subject"], content["text"])
    except KeyError as error:
        print(f"fovflow: no e-mail: the variable {error} is not set", file=sys.stderr)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        print(f"fovflow: no e-mail through {content['smtp']['host']}: {error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
