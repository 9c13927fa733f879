# SPDX-License-Identifier: Apache-2.0
"""A state directory on a disk of its own, which can lose its power: what is on it then is what the kernel has written
to it by then, and nothing that is still in memory."""
import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time
from typing import NamedTuple

from crash import CrashMachine, outcome

SIZE = 8 << 20
CLONE_NEWNS = 0x20000


class Copy(NamedTuple):
    """A disk and a TPM at the same moment, and whether the caller had his answer then."""
    image: bytes
    tpm: dict
    answered: bool


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, f'{command}: {done.stderr}'


def keep_mounts_private():
    """What this process and its children mount nobody else sees, and goes with them."""
    library = ctypes.CDLL(None, use_errno=True)
    assert library.unshare(CLONE_NEWNS) == 0, f'unshare: {os.strerror(ctypes.get_errno())}; this test takes root'
    run('mount', '--make-rprivate', '/')


def make_image(path):
    """ext4 with the smallest journal, which is written when cmkd wants it and not every five seconds."""
    with open(path, 'wb') as image:
        image.truncate(SIZE)
    run('mkfs.ext4', '-q', '-b', 1024, '-m', 0, '-J', 'size=1', '-E', 'lazy_itable_init=0,lazy_journal_init=0', path)


class DiskMachine(CrashMachine):
    """Needs keep_mounts_private()."""

    def __init__(self):
        super().__init__()
        self.image = self.directory / 'image'
        make_image(self.image)
        self.mount()
        (self.state / 'lost+found').rmdir()
        self.state.chmod(0o700)

    def mount(self):
        run('mount', '-o', 'loop,commit=900', self.image, self.state)

    def unmount(self):
        run('umount', self.state)

    def save(self, name):
        self.unmount()
        place = self.directory / name
        place.mkdir()
        shutil.copy(self.image, place / 'image')
        shutil.copytree(self.tpm_directory, place / 'tpm', ignore=shutil.ignore_patterns('sock*', '.lock'))
        self.mount()

    def load(self, name):
        self.switch_off()
        self.forget_kernel_keys()
        self.unmount()
        shutil.copy(self.directory / name / 'image', self.image)
        self.mount()
        shutil.rmtree(self.tpm_directory)
        shutil.copytree(self.directory / name / 'tpm', self.tpm_directory)
        self.start_tpm()

    def shut_down(self):
        self.switch_off()
        self.unmount()
        super().shut_down()

    def copy(self, answered):
        """The disk may be written to behind our back: what is read twice the same was there at one moment."""
        image = None
        while image != (again := self.image.read_bytes()):
            image = again
        files = {path.name: path.read_bytes() for path in self.tpm_directory.iterdir()
                 if path.is_file() and path.name != '.lock'}
        return Copy(image, files, answered)

    def watch_points(self, work, settle):
        """Copy everything at each point that cmkd passes during @work(), and when it is done. @settle() is a call that
        waits for what cmkd does after it has answered."""
        copies, answered = [], threading.Event()
        thread = threading.Thread(target=lambda: (work(), answered.set(), settle()))
        thread.start()
        while thread.is_alive():
            if self.has_stopped():
                copies.append(self.copy(answered.is_set()))
                self.daemon.send_signal(signal.SIGCONT)
            time.sleep(0.0005)
        self.disarm()
        return [*copies, self.copy(answered=True)]

    def watch_call(self, call, settle):
        self.arm(stop_at=-1)
        return self.watch_points(lambda: outcome(call), settle)

    def watch_start(self, settle):
        def wait_for_service():
            while self.daemon.poll() is None and not self.owned():
                time.sleep(0.001)
        self.arm(stop_at=-1)
        self.launch()
        return self.watch_points(wait_for_service, settle)
