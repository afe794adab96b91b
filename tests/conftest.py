"""What holds for all tests."""

import signal

from hypothesis import settings

# No test fails because the machine is busy.
settings.register_profile("fovflow", deadline=None)
settings.load_profile("fovflow")

# A shell starts what runs in its background with Ctrl-C ignored, and `nohup` ignores the end of the
# terminal; children inherit that, and tests that send these signals would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
