"""llama.cpp's HTTP server as a program: ``python llama_program.py '{"model": PATH, …}'``.

It prints its address once it listens, and runs until it is ended.  ``template`` takes the place
of the model's own one, ``sampling`` is what holds where a request says nothing, and answers end
after ``most`` tokens (-1: with the context).
"""

from __future__ import annotations

import json
import sys
import threading

import xllamacpp


def main() -> None:
    given = json.loads(sys.argv[1])
    params = xllamacpp.CommonParams()
    params.model.path = given["model"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.model_alias = [given["alias"]]
    params.n_ctx = given["context"]
    params.n_parallel = 1
    params.n_predict = given["most"]
    params.ui = params.warmup = params.fit_params = False
    params.verbosity = given["verbosity"]
    if given["template"] is not None:
        params.chat_template = given["template"]
    for name, value in given["sampling"].items():
        setattr(params.sampling, name, value)
    for name in ("cpuparams", "cpuparams_batch"):
        getattr(params, name).n_threads = 1  # so that the same seed draws the same tokens
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
