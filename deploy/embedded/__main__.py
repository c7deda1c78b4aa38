"""``python -m deploy.embedded``: see :mod:`deploy.embedded.process`."""

import signal

if __name__ == "__main__":
    # Importing takes a second or two; until run() listens for signals, Ctrl-C shall end us without a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from deploy.embedded.process import main

    main()
