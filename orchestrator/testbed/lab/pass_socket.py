# SPDX-License-Identifier: Apache-2.0
"""A ProxyCommand for OpenSSH with ProxyUseFdpass: gets a connected socket from a lab's keeper and passes it on.

Usage: pass_socket.py CONTROL MACHINE PORT; standard output is the socket on which OpenSSH expects the descriptor.
"""

import json
import socket
import sys
import time


def main():
    control, machine, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    deadline = time.monotonic() + 20
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(control)
            request = {"op": "connect", "name": machine, "port": port, "timeout_s": 2}
            connection.sendall(json.dumps(request).encode() + b"\n")
            data, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
        if descriptors:
            break
        if time.monotonic() > deadline:
            sys.exit("The lab gives no connection to %s: %s" % (machine, data.decode().strip()))
        time.sleep(0.1)
    with socket.socket(fileno=1) as ssh:
        socket.send_fds(ssh, [b"\0"], descriptors)


if __name__ == "__main__":
    main()
