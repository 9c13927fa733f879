# SPDX-License-Identifier: Apache-2.0
"""The same Debian in a virtual machine, with a kernel of its own and /dev/tpmrm0. Emulated, so ten times as slow.

Commands get in through the guest agent."""
import base64
import json
import os
import socket
import subprocess

from machine import PATH, TREE, WORK, Machine, Result, call


class VirtualMachine(Machine):
    has_software_tpm = False
    deadline = 600

    def __enter__(self):
        (WORK / 'console').touch()
        image, tpm, agent = WORK / 'image', WORK / 'tpm', WORK / 'agent'
        call('mke2fs', '-q', '-t', 'ext4', '-d', TREE, image, '3G')
        tpm.mkdir()
        self.swtpm = subprocess.Popen(['swtpm', 'socket', '--tpm2', '--tpmstate', f'dir={tpm}',
                                       '--ctrl', f'type=unixio,path={WORK}/tpm.ctrl'])
        self.until((WORK / 'tpm.ctrl').exists, 'the software TPM')
        kernel, = (TREE / 'boot').glob('vmlinuz-*')
        initrd, = (TREE / 'boot').glob('initrd.img-*')
        self.qemu = subprocess.Popen(
            ['qemu-system-x86_64', '-machine', 'q35,accel=tcg', '-cpu', 'max', '-smp', '2', '-m', '1024',
             '-display', 'none', '-nic', 'none', '-no-reboot', '-serial', f'file:{WORK}/console',
             '-kernel', kernel, '-initrd', initrd, '-append', 'root=/dev/vda rw console=ttyS0 quiet panic=-1 no_timer_check',
             '-drive', f'file={image},format=raw,if=virtio,cache=unsafe',
             '-chardev', f'socket,id=tpm,path={WORK}/tpm.ctrl', '-tpmdev', 'emulator,id=tpm,chardev=tpm',
             '-device', 'tpm-crb,tpmdev=tpm',
             '-device', 'virtio-serial', '-chardev', f'socket,id=agent,path={agent},server=on,wait=off',
             '-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
            stdin=subprocess.DEVNULL, stdout=open(WORK / 'qemu.log', 'w'), stderr=subprocess.STDOUT)
        self.socket = socket.socket(socket.AF_UNIX)
        self.until(lambda: self.is_up() and self.socket.connect_ex(os.fspath(agent)) == 0, 'the socket of the guest agent')
        self.agent = self.socket.makefile('rw')
        self.ask_agent('guest-ping')  # answered when it has started
        self.prepare()
        return self

    def __exit__(self, *_):
        self.run('systemctl', 'poweroff', '--no-block')
        self.qemu.wait(timeout=self.deadline)
        self.swtpm.wait(timeout=self.deadline)  # which ends with its only user

    def is_up(self):
        assert self.qemu.poll() is None, ''.join((WORK / name).read_text() for name in ('qemu.log', 'console'))
        return True

    def ask_agent(self, command, **arguments):
        assert self.is_up()
        print(json.dumps({'execute': command, 'arguments': arguments}), file=self.agent, flush=True)
        answer = json.loads(self.agent.readline())
        assert 'return' in answer, (command, answer)
        return answer['return']

    def put(self, source, directory):
        self.execute(['sh', '-c', f'cat >{directory}/{source.name}'], source.read_bytes())

    def begin(self, *arguments, user='root', **environment):
        return BegunInside(self, self.start(self.as_user(user, environment) + [str(part) for part in arguments], b''))

    def execute(self, arguments, data):
        return BegunInside(self, self.start(arguments, data)).end()

    def start(self, arguments, data):
        return self.ask_agent('guest-exec', path=arguments[0], arg=arguments[1:], env=[f'PATH={PATH}'],
                              **{'input-data': base64.b64encode(data).decode(), 'capture-output': True})['pid']


class BegunInside:
    """A command under way that takes no more input."""

    def __init__(self, machine, pid):
        self.machine, self.pid = machine, pid

    def end(self):
        def status():
            answer = self.machine.ask_agent('guest-exec-status', pid=self.pid)
            return answer if answer['exited'] else None
        answer = self.machine.until(status, 'the end of a command')
        texts = [base64.b64decode(answer.get(name, '')).decode() for name in ('out-data', 'err-data')]
        return Result([f'process {self.pid}'], answer.get('exitcode', -1), *texts)
