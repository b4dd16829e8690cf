"""Programs that show speechkit."""

import os
import tempfile

# Gradio reads these when it is imported. Its own cache is one folder that all users share.
CACHE = tempfile.TemporaryDirectory(prefix="speechkit-demo-")
os.environ["GRADIO_TEMP_DIR"] = CACHE.name
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ["GRADIO_RUN_HISTORY"] = "False"  # browsers would keep what was said
