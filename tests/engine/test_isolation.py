"""The state of a process is restored after each trial."""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from unittest.mock import Mock

import pytest

from sweep.engine.isolation import isolated, seed_generators
from sweep.engine.process_state import ProcessState

SCRIPT = """
import sys
import time
from pathlib import Path
from sweep.engine.output import redirect_output

class Logger:  # common in research code
    def __init__(self, stream): self.stream = stream
    def write(self, text): self.stream.write(text)

folder = Path(sys.argv[1])
print("before")
with redirect_output(folder / "one"):
    print("first")
    sys.stdout = Logger(sys.stdout)
    print("through a logger")
print("between")
with redirect_output(folder / "two"):
    print("second")
    sys.stdout.close()
print("after")
with redirect_output(folder / "three"):
    print("third")
print("end")
"""


@pytest.mark.process
def test_an_objective_can_replace_or_close_its_streams(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["before", "between", "after", "end"]
    assert done.stderr == ""
    assert (tmp_path / "one").read_text() == "first\nthrough a logger\n"
    assert (tmp_path / "two").read_text() == "second\n"
    assert (tmp_path / "three").read_text() == "third\n"


@pytest.mark.process
def test_what_a_trial_changes_is_restored(tmp_path: Path) -> None:
    script = """
import logging, os, random, signal, subprocess, sys
import numpy, psutil, torch
from sweep.system import processes
from sweep.engine.isolation import isolated, seed_generators

processes.adopt_orphans()

def look():
    return (
        os.getcwd(), dict(os.environ), list(sys.argv), list(sys.path), random.getstate(),
        numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), torch.get_default_dtype(),
        torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
        torch.get_num_threads(), logging.getLogger().level, list(logging.getLogger().handlers),
        signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL), psutil.Process().num_fds(),
        [process.pid for process in processes.descendants()],
    )

class Cycle:
    def __init__(self, path):
        self.me, self.file = self, open(path, "w")

earlier = subprocess.Popen(["sleep", "300"])
before = look()
with isolated({"SWEEP_TRIAL_DIR": "here"}):
    assert os.environ["SWEEP_TRIAL_DIR"] == "here"
    os.chdir("/")
    os.environ["LEFT"] = "over"
    sys.argv.append("--flag")
    sys.path.insert(0, "/nowhere")
    random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(1 if torch.get_num_threads() > 1 else 2)
    logging.basicConfig(filename=sys.argv[1] + "/log", level=logging.DEBUG)
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(100)
    Cycle(sys.argv[1] + "/file")
    subprocess.Popen(["sleep", "300"])
    subprocess.run("setsid nohup sleep 300 &", shell=True, stderr=subprocess.DEVNULL)
after = look()
for was, now in zip(before, after):
    assert was == now, (was, now)
assert earlier.poll() is None, "earlier child processes are not killed"
earlier.kill()
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=120)


MODULES = ["os", "resource", "sys", "threading", "tempfile", "warnings", "decimal", "locale", "gc", "socket"]
MODULES += ["multiprocessing", "numpy", "signal", "time", "faulthandler", "logging", "logging.config"]
MODULES += ["builtins"]
CHANGES = {
    "umask": ("(lambda mask: (os.umask(mask), mask)[1])(os.umask(0))", "os.umask(0o77)"),
    "affinity": ("os.sched_getaffinity(0)", "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"),
    "soft limit": (
        "resource.getrlimit(resource.RLIMIT_NOFILE)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (99, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
    ),
    "time zone": ("time.tzname", "os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()"),
    "sys.argv": ("list(sys.argv)", "sys.argv = ['train.py']"),
    "sys.path": ("list(sys.path)", "sys.path = []"),
    "hooks": ("(sys.excepthook, threading.excepthook)", "sys.excepthook = threading.excepthook = print"),
    "recursion": ("sys.getrecursionlimit()", "sys.setrecursionlimit(5000)"),
    "temporary folder": ("tempfile.tempdir", "tempfile.tempdir = '/'"),
    "warnings": ("list(warnings.filters)", "warnings.simplefilter('error')"),
    "warnings of a library": ("list(warnings.filters)", "warnings.filters = []"),
    "decimal": ("str(decimal.getcontext())", "decimal.getcontext().prec = 3"),
    "locale": ("locale.setlocale(locale.LC_ALL)", "locale.setlocale(locale.LC_ALL, 'C.UTF-8')"),
    "gc": ("(gc.isenabled(), gc.get_threshold())", "gc.disable(); gc.set_threshold(1)"),
    "sockets": ("socket.getdefaulttimeout()", "socket.setdefaulttimeout(3)"),
    "start method": (
        "multiprocessing.get_start_method(allow_none=True)",
        "multiprocessing.set_start_method('spawn')",
    ),
    "numpy's errors": ("numpy.geterr()", "numpy.seterr(all='raise')"),
    "numpy's output": ("numpy.get_printoptions()", "numpy.set_printoptions(precision=2)"),
    "a signal": ("signal.getsignal(signal.SIGPIPE)", "signal.signal(signal.SIGPIPE, signal.SIG_DFL)"),
    "blocked signals": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, ())",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])",
    ),
    "faulthandler": ("faulthandler.is_enabled()", "faulthandler.disable()"),
    "a logger": (
        "(logging.getLogger('early').level, logging.getLogger('early').handlers[:])",
        "logging.getLogger('early').level = 50; logging.getLogger('early').addHandler(logging.NullHandler())",
    ),
    "print": ("builtins.print", "builtins.print = lambda *texts, **options: None"),
    "digits of integers": ("sys.get_int_max_str_digits()", "sys.set_int_max_str_digits(0)"),
    "numpy's buffer": ("numpy.getbufsize()", "numpy.setbufsize(16384)"),
    "logging": (
        "(logging.raiseExceptions, logging.getLoggerClass())",
        "logging.raiseExceptions = False\nlogging.setLoggerClass(type('Own', (logging.Logger,), {}))",
    ),
    "captured warnings": ("logging._warnings_showwarning", "logging.captureWarnings(True)"),
    "log records": (
        "logging.getLogRecordFactory()",
        "logging.setLogRecordFactory(type('Own', (logging.LogRecord,), {}))",
    ),
    "a filter of a logger": ("logging.root.filters[:]", "logging.root.addFilter(lambda record: False)"),
    "tracing": (
        "(sys.getprofile(), threading.gettrace())",
        "sys.setprofile(lambda *event: None); threading.settrace(lambda *event: None)",
    ),
    "disabled loggers": (
        "logging.getLogger('early').disabled",
        "logging.config.dictConfig({'version': 1})",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_part_of_the_state_is_restored(change: str) -> None:
    names = {name: importlib.import_module(name) for name in MODULES}
    logging.getLogger("early")
    faulthandler_was_enabled = faulthandler.is_enabled()
    faulthandler.enable(sys.__stderr__)
    try:
        look, code = CHANGES[change]
        before = eval(look, names)
        with isolated({}) as problems:
            exec(code, names)
            assert eval(look, names) != before or change == "affinity", "the example changes something"
        assert eval(look, names) == before
        assert problems == []
    finally:
        if not faulthandler_was_enabled:
            faulthandler.disable()


@pytest.mark.parametrize("change", CHANGES)
def test_each_part_is_restored_after_every_trial_of_a_worker(change: str) -> None:
    """A worker reads again only what the trial before has changed."""
    names = {name: importlib.import_module(name) for name in MODULES}
    logging.getLogger("early")
    look, code = CHANGES[change]
    state = ProcessState()
    with isolated({}):  # whatever the worker does not restore
        before = eval(look, names)
        for does_change in (False, True, True, False, True):
            with isolated({}, state=state) as problems:
                if does_change:
                    exec(code, names)
            assert eval(look, names) == before
            assert problems == []


def test_what_a_trial_has_not_changed_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(sys, "getrecursionlimit", lambda: calls.append("read") or 1000)
    monkeypatch.setattr(sys, "setrecursionlimit", lambda limit: calls.append("set"))
    state = ProcessState()
    for _ in range(3):
        with isolated({}, state=state):
            calls.append("trial")
    assert calls == ["read", "trial", "read", "trial", "read", "trial", "read"]


def test_a_library_that_a_trial_has_imported_is_restored_after_later_trials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is known only then what its state is without a trial."""
    threads = [4]
    library = Mock(
        get_num_threads=lambda: threads[0], set_num_threads=lambda number: threads.__setitem__(0, number)
    )
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    state = ProcessState()
    with isolated({}, state=state):
        monkeypatch.setitem(sys.modules, "torch", library)
        threads[0] = 3
    for _ in range(2):
        with isolated({}, state=state):
            threads[0] = 1
        assert threads == [3]


def test_handlers_that_a_trial_adds_to_a_new_logger_are_removed_and_closed(tmp_path: Path) -> None:
    """Otherwise each trial would write to the log files of all earlier ones."""
    with isolated({}):
        handler = logging.FileHandler(tmp_path / "log")
        logging.getLogger("experiment").addHandler(handler)
        of_library = logging.NullHandler()
        logging.getLogger("numpy.of_this_test").addHandler(of_library)
    assert logging.getLogger("experiment").handlers == []
    assert handler.stream is None or handler.stream.closed
    assert logging.getLogger("numpy.of_this_test").handlers == [of_library]


def test_a_log_file_is_removed_from_the_logger_of_a_library_that_the_trial_has_imported(
    tmp_path: Path,
) -> None:
    with isolated({}):
        own = logging.NullHandler()
        logger = logging.getLogger("numpy.of_another_test")
        logger.addHandler(own)
        logger.setLevel(logging.ERROR)
        logger.addHandler(logging.FileHandler(tmp_path / "log"))
    assert logger.handlers == [own]
    assert logger.level == logging.ERROR, "as the library has set it, for all that is known"


def test_what_a_thread_changes_until_it_has_ended_is_restored() -> None:
    """A worker waits for the threads that a trial has started."""

    def change() -> None:
        time.sleep(0.3)
        os.environ["LEFT_BY_THREAD"] = "1"

    with isolated({}) as problems:
        threading.Thread(target=change).start()
    assert problems == []
    assert "LEFT_BY_THREAD" not in os.environ


def test_what_cannot_be_restored_is_returned() -> None:
    end = threading.Event()

    def wait() -> None:
        end.wait(60)

    with isolated({}) as problems:
        thread = threading.Thread(target=wait, name="mine", daemon=True)
        thread.start()
        threading.Thread(target=time.sleep, args=(0.1,)).start()  # ends in time
    end.set()
    assert problems == ["RuntimeError: the thread mine is still running"]


@pytest.mark.process
def test_a_lowered_priority_is_reported_and_a_process_group_is_destroyed() -> None:
    script = """
import os, torch.distributed
from sweep.engine.isolation import isolated, seed_generators

def refuse(*arguments):  # as for a user who is not root
    raise PermissionError("only root can raise a priority")

os.setpriority = refuse
with isolated({}) as problems:
    os.nice(3)
print(problems)
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", RANK="0", WORLD_SIZE="1")
with isolated({}) as problems:
    torch.distributed.init_process_group("gloo")
print(problems)
with isolated({}) as problems:
    torch.set_num_interop_threads(torch.get_num_interop_threads() + 1)
print(problems)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    priority, group, interop = done.stdout.splitlines()
    assert priority == "['PermissionError: only root can raise a priority']"
    assert group == "[]", "it has been destroyed"
    assert "torch.set_num_interop_threads was called" in interop


@pytest.mark.process
def test_two_attempts_never_write_to_one_output_at_the_same_time(tmp_path: Path) -> None:
    """The processes of the first attempt are killed before the second one starts."""
    output = tmp_path / "output.log"
    hold = """
import subprocess, sys, time
from pathlib import Path
from sweep.engine.output import redirect_output
with redirect_output(Path(sys.argv[1])):
    subprocess.Popen(["sleep", "300"], start_new_session=True, env={})
    print("first", flush=True)
    time.sleep(300)
"""
    first = subprocess.Popen([sys.executable, "-c", hold, str(output)])
    while not output.exists() or not output.read_text():
        assert first.poll() is None
        time.sleep(0.05)
    second = hold.replace("first", "second").replace("    time.sleep(300)\n", "").replace("300", "0")
    subprocess.run([sys.executable, "-c", second, str(output)], check=True, timeout=120)
    assert first.wait(60) == -9
    assert output.read_text() == "first\nsecond\n"


@pytest.mark.process
def test_helper_processes_of_python_are_kept_and_errors_of_the_restoration_are_returned(
    tmp_path: Path,
) -> None:
    script = """
import logging, multiprocessing, sys
from sweep.engine.isolation import isolated, seed_generators

def work():
    pass

class Bad(logging.Handler):
    def close(self):
        raise ValueError("no")

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    for _ in range(2):
        with isolated({}) as problems:
            process = context.Process(target=work)
            process.start()
            process.join()
            assert process.exitcode == 0
        assert problems == [], problems
    first = logging.StreamHandler()
    logging.getLogger().addHandler(first)
    with isolated({}) as problems:
        logging.basicConfig(force=True, handlers=[Bad()])
        import torch
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
    assert problems == ["ValueError: no"], problems
    assert logging.getLogger().handlers == [first]
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
"""
    file = tmp_path / "script.py"
    file.write_text(script)
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.process
def test_joblib_stops_its_processes_after_a_trial_and_starts_new_ones_in_the_next(tmp_path: Path) -> None:
    code = """
import joblib, psutil
from sweep.engine.isolation import isolated, seed_generators

for trial in range(2):
    with isolated({}) as problems:
        print(joblib.Parallel(n_jobs=2)(joblib.delayed(pow)(n, 2) for n in range(4)))
    print(problems, [p.name() for p in psutil.Process().children() if "loky" in " ".join(p.cmdline())
                     and "resource_tracker" not in " ".join(p.cmdline())])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[0, 1, 4, 9]", "[] []"] * 2


WANDB = """
import wandb

def objective():
    settings = wandb.Settings(x_disable_stats=True, console="off", silent=True)
    run = wandb.init(mode="offline", project="p", settings=settings)
    run.log({"loss": 1.0})
    # the run is never finished
"""
FILE_SYSTEM = """
import torch
from torch.utils.data import DataLoader, TensorDataset

def objective():
    torch.multiprocessing.set_sharing_strategy("file_system")
    for batch in DataLoader(TensorDataset(torch.zeros(8, 2)), batch_size=4, num_workers=1):
        pass
"""


@pytest.mark.process
@pytest.mark.parametrize("code", [WANDB, FILE_SYSTEM], ids=["wandb", "torch_shm_manager"])
def test_libraries_that_reuse_processes_work_in_the_next_trial(tmp_path: Path, code: str) -> None:
    code += """
from sweep.system import processes
from sweep.engine.isolation import isolated, seed_generators

processes.adopt_orphans()
for trial in range(2):
    with isolated({}) as problems:
        objective()
    print("trial", trial, problems)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout.splitlines() == ["trial 0 []", "trial 1 []"], done.stderr


def test_the_torch_compiler_is_shut_down_after_each_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fake, because the real one takes half a minute to start its processes."""
    compiler = types.SimpleNamespace(shutdown_compile_workers=Mock())
    monkeypatch.setitem(sys.modules, "torch._inductor.async_compile", compiler)
    for _ in range(2):
        with isolated({}) as problems:
            pass
        assert not problems
    assert compiler.shutdown_compile_workers.call_count == 2


@pytest.mark.parametrize("devices", [0, 1])
def test_the_generators_of_torch_are_seeded_those_of_devices_only_if_there_are_any(
    devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = types.ModuleType("torch")
    calls: list[str] = []
    fake.manual_seed = lambda seed: calls.append(f"all {seed}")  # type: ignore[attr-defined]
    fake.default_generator = Mock(manual_seed=lambda seed: calls.append(f"cpu {seed}"))  # type: ignore[attr-defined]
    fake.accelerator = Mock(device_count=lambda: devices)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", fake)
    seed_generators(1)
    seed_generators(2)
    assert calls == (["all 1", "all 2"] if devices else ["cpu 1", "cpu 2"])
