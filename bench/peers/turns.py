"""Contestants as processes that run one at a time."""

import contextlib
import json
import os
import select
import signal
import subprocess

from verdict import MIN_TURNS, verdict


class Worker:
    """A process that answers requests (worker.cpp). Between two requests it is stopped, with all its threads, so that
    no pool of one contestant spins while another one is timed. One that died starts again."""

    PATIENCE_S = 300  # of a request; compiling takes longest

    def __init__(self, command, environment, cpus, log):
        self.command, self.environment, self.cpus, self.log = command, environment, cpus, log
        self.process = None

    def ask(self, **request):
        """The answer to a request; raises RuntimeError."""
        if self.process is None:
            self.start()
        self.signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answered, _, _ = select.select([self.process.stdout], [], [], self.PATIENCE_S)
            line = self.process.stdout.readline() if answered else ""
        except BrokenPipeError:
            answered, line = True, ""
        if not line:
            self.end()
            raise RuntimeError("the process ended" if answered else f"no answer in {self.PATIENCE_S} s")
        self.signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=self.environment,
            text=True, start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, self.cpus))

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def end(self):
        if self.process:
            self.signal(signal.SIGKILL)
            self.process.communicate()
            self.process = None


@contextlib.contextmanager
def busy(command, cpus):
    """Keeps each of these processors at work by a process of `command`, which ends with its standard input. One that
    ends before raises RuntimeError: the comparison had less company than it says."""
    started = []
    try:
        for cpu in cpus:
            started.append(subprocess.Popen(command, stdin=subprocess.PIPE,
                                            preexec_fn=lambda own=cpu: os.sched_setaffinity(0, {own})))
        yield
        if any(each.poll() is not None for each in started):
            raise RuntimeError(f"{' '.join(command)} ended")
    finally:
        for each in started:
            each.kill()
            each.communicate()


class Contestant:
    ROUNDS = 10  # that its seconds are spread over; of calls too slow for that, MIN_TURNS

    def __init__(self, peer, worker):
        self.peer, self.worker = peer, worker
        self.kernel, self.estimate, self.times, self.measured, self.failure = None, 0, [], 0, None
        self.error, self.tolerances = None, None  # the largest, relative to the largest value and in tolerances
        self.peak_bytes = None  # of a step of training

    def needs_turn(self, seconds, times):
        least = self.ROUNDS if self.estimate * self.ROUNDS <= seconds else MIN_TURNS
        return not self.failure and not (self.measured >= times * seconds and len(self.times) >= times * least)

    def take_turn(self, seconds):
        """One value of a round."""
        calls = max(1, min(1_000_000, round(seconds / self.ROUNDS / max(self.estimate, 1e-9))))
        try:
            time = self.worker.ask(calls=calls)["seconds"]
        except RuntimeError as error:
            self.failure = str(error)
            return
        self.times.append(time)
        self.measured += time * calls


def measure_in_turn(ours, peers, seconds, times=1):
    """{contestant: Verdict} of the peers that didn't fail, by new turns: of each peer `times` * `seconds`,
    and `times` * ROUNDS turns at least. Ours takes a turn in every round: each of a peer has one of ours beside it."""
    for each in (ours, *peers):
        each.times, each.measured = [], 0
    left = peers
    while left and not ours.failure:
        for each in (ours, *left):
            each.take_turn(seconds)
        left = [each for each in left if each.needs_turn(seconds, times)]
    return {} if ours.failure else {each: verdict(ours.times[:len(each.times)], each.times)
                                    for each in peers if not each.failure}


def settle_lost(verdicts, ours, seconds, times):
    """The verdicts, with those that are "behind" measured again, `times` as long. The new turns alone decide: a false
    alarm has to occur twice."""
    lost = [each for each, found in verdicts.items() if found.name == "behind"]
    again = measure_in_turn(ours, lost, seconds, times)
    return {each: again.get(each, found) for each, found in verdicts.items() if each not in lost or each in again}
