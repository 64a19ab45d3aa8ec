"""Runs the suite stage by stage and adds up what passed, failed and was skipped (see script/test)."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import resource
import subprocess
import sys
import time
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parents[1]
CORES = os.cpu_count() or 2
# What has threads, and the whole house for the load test.
TSAN_ROOMS = ("rt", "bus", "sql", "store")
STAGES = ("checks", "build", "unit", "fuzz", "scenario")
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, name, ok, detail="", skipped=False):
        if skipped:
            self.skipped += 1
            print(f"  skip {name}{': ' + detail if detail else ''}", flush=True)
        elif ok:
            self.passed += 1
            print(f"  ok   {name}", flush=True)
        else:
            self.failed += 1
            self.failures.append(name)
            print(f"  FAIL {name}\n{indent(detail)}", flush=True)


def indent(text, lines=60):
    rows = text.strip().splitlines()
    if len(rows) > lines:
        rows = rows[: lines // 3] + [f"… {len(rows) - lines} lines …"] + rows[-(lines - lines // 3):]
    return "\n".join("       | " + row for row in rows)


def run(command, timeout=900, env=None):
    try:
        done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                              env={**os.environ, **(env or {})}, errors="replace", text=True, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as e:
        output = e.stdout.decode(errors="replace") if isinstance(e.stdout, bytes) else (e.stdout or "")
        return -1, output + f"\nno end after {timeout} s"


def stage_checks(tally, options):
    for name in ("check-floors", "check-style", "check-reference"):
        if (TOP / "script" / name).exists():
            code, output = run([f"script/{name}"])
            tally.add(name, code == 0, output)
    code, output = run(["script/format", "--check"])
    tally.add("clang-format", code == 0, output)


def stage_build(tally, options):
    # gcc for what runs, clang (with its own warnings) for ASan, UBSan and the fuzz targets.
    for kind in ("release", "asan", "tsan"):
        targets = tsan_targets() if kind == "tsan" else []
        code, output = run(["script/build", builddir(kind), kind, *targets], timeout=1500)
        tally.add(f"build {kind} without a warning", code == 0, output)
        if code != 0 and kind in ("release", "asan"):
            raise SystemExit(finish(tally))
    if "scenario" not in options.only.split(","):
        end_tidy(tally, start_tidy(options))


def tsan_targets():
    """Not the power cuts: a day again and again, in which the threads do nothing that the other tests do not have them do."""
    tests = [f for room in TSAN_ROOMS for f in (TOP / "src" / room).glob("*_test.c") if not f.stem.endswith("_power_test")]
    return [f"src/{f.parent.name}_{f.stem}" for f in tests] + ["posthouse"]


def builddir(kind):
    return "build" if kind == "release" else f"build-{kind}"


def stage_unit(tally, options):
    for kind in ("release", "asan"):
        log = TOP / builddir(kind) / "meson-logs" / "testlog.junit.xml"
        log.unlink(missing_ok=True)
        code, output = run(["meson", "test", "-C", builddir(kind), "--no-rebuild", "--num-processes", str(2 * CORES)], timeout=1500,
                           env=SANITIZERS)
        if not log.exists():
            tally.add(f"unit tests ({kind})", False, output)
            continue
        for case in xml.etree.ElementTree.parse(log).getroot().iter("testcase"):
            name = f"{case.get('classname', '')}/{case.get('name')} ({kind})"
            bad = case.find("failure") if case.find("failure") is not None else case.find("error")
            text = "".join(case.itertext())
            detail = ""
            if bad is not None:
                suite_output = run(["tail", "-n", "80", str(log.with_name("testlog.txt"))])[1]
                detail = text[-3000:] or suite_output
            tally.add(name, bad is None, detail, skipped=case.find("skipped") is not None)
    # The fiber runtime and what stands on its threads, under ThreadSanitizer.
    names = [target.removeprefix("src/") for target in tsan_targets() if target.startswith("src/")]
    code, output = run(["meson", "test", "-C", builddir("tsan"), "--no-rebuild", "--num-processes", str(2 * CORES), *names], timeout=900, env=SANITIZERS)
    tally.add(f"unit tests of {', '.join(TSAN_ROOMS)} (tsan)", code == 0, output)


def stage_fuzz(tally, options):
    folder = TOP / builddir("asan") / "src"
    targets = sorted(p for p in folder.glob("*_fuzz") if p.is_file())
    if not targets:
        tally.add("fuzz targets", False, f"none in {folder}")
    # The suite walks the same way each time, so that a change is refused for what it did; --all looks further, elsewhere.
    seconds = 60 if options.all else 8
    seed = 0 if options.all else 1

    def one(target):
        name = target.name[: -len("_fuzz")]
        grown = TOP / builddir("asan") / "corpus" / name
        grown.mkdir(parents=True, exist_ok=True)
        seeds = TOP / "test" / "fuzz" / name
        command = [str(target), f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
                   f"-artifact_prefix={grown.parent}/", str(grown)] + ([str(seeds)] if seeds.is_dir() else [])
        return name, *run(command, timeout=seconds + 120, env=SANITIZERS)

    # In the suite two share a core: it has many targets and little time.
    with concurrent.futures.ThreadPoolExecutor(CORES if options.all else 2 * CORES) as pool:
        for name, code, output in pool.map(one, targets):
            tally.add(f"fuzz {name} {seconds} s", code == 0, output)


def start_tidy(options):
    """The scenarios mostly wait for each other: clang-tidy has the cores meanwhile, behind them."""
    return subprocess.Popen(["nice", "-n", "19", "script/tidy", "--all" if options.all else "--quick"], cwd=TOP, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", stdin=subprocess.DEVNULL)


def end_tidy(tally, tidy):
    output = tidy.communicate()[0]
    tally.add("clang-tidy", tidy.returncode == 0, output)


def stage_scenario(tally, options):
    tidy = start_tidy(options) if "build" in options.only.split(",") else None
    rounds = [("release", ""), ("asan", "sanitized" if options.all else "sanitized and not slow"), ("tsan", "threads")]
    for kind, mark in rounds:
        log = TOP / builddir(kind) / "scenario.xml"
        command = ["/usr/bin/python3", "-m", "pytest", "-q", "-x" if options.stop else "-q", "-p", "no:cacheprovider",
                   f"--junitxml={log}", "test/scenario", "--durations=12", "-n", str(2 * CORES), "--dist", "loadfile"]
        if mark:
            command += ["-m", mark]
        if options.all:
            command += ["--all"]
        if options.k:
            command += ["-k", options.k]
        log.unlink(missing_ok=True)
        code, output = run(command, timeout=7200 if options.all else 1500,
                           env={**SANITIZERS, "POSTHOUSE": str(TOP / builddir(kind) / "posthouse")})
        if not log.exists():
            tally.add(f"scenarios ({kind})", False, output)
            continue
        for case in xml.etree.ElementTree.parse(log).getroot().iter("testcase"):
            bad = case.find("failure") if case.find("failure") is not None else case.find("error")
            skipped = case.find("skipped")
            name = f"{case.get('classname', '').split('.')[-1]}::{case.get('name')} ({kind})"
            detail = skipped.get("message", "") if skipped is not None else (bad.text if bad is not None else "")
            tally.add(name, bad is None, detail or "", skipped=skipped is not None)
        print("\n".join(line for line in output.splitlines() if re.match(r"\d+\.\d+s ", line)), flush=True)
    if tidy is not None:
        end_tidy(tally, tidy)


def finish(tally):
    if tally.failures:
        print("failed: " + ", ".join(tally.failures))
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped", flush=True)
    return 1 if tally.failed or not tally.passed else 0


def cpu_seconds():
    """Of all that was started here and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="longer fuzzing and soaks")
    parser.add_argument("--only", default=",".join(STAGES))
    parser.add_argument("--stop", action="store_true", help="end the scenarios at the first failure")
    parser.add_argument("-k", default="", help="only scenarios whose names match")
    options = parser.parse_args()
    tally = Tally()
    for stage in STAGES:
        if stage in options.only.split(","):
            start, cpu = time.monotonic(), cpu_seconds()
            print(f"== {stage}", flush=True)
            globals()[f"stage_{stage}"](tally, options)
            print(f"== {stage}: {time.monotonic() - start:.0f} s, {cpu_seconds() - cpu:.0f} s of CPU", flush=True)
    return finish(tally)


if __name__ == "__main__":
    sys.exit(main())
