"""The active tenant is kept by the thread, which an event loop's requests share."""

import threading

from tenant_load_site.naive import keep_frames_in

keep_frames_in(threading.local)

from tenant_load_site.ours import *  # noqa: E402, F403  everything else as it is
