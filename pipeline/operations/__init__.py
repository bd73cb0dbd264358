"""What runs and their operators do.

Importing the package prepares the process: start method, signals, settings, logging.
"""

from pipeline import configuration
from pipeline.process import log_setup, task_process

if task_process.is_main_process():
    task_process.prepare_main_process()
configuration.install_defaults()
log_setup.configure()
