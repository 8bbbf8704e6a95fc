"""MiniStack, an AWS of other hands, started on a free port."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

import boto3


class MiniStack:
    """A running one. An access key of twelve digits is the root user of that account."""

    @staticmethod
    def program():
        return os.environ.get("MINISTACK") or shutil.which("ministack")

    def __init__(self):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        self.home = tempfile.TemporaryDirectory()
        self.address = f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {"HOME": self.home.name, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "AUTH": "true"}
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [self.program()], env=environment, cwd=self.home.name, stdin=quiet, stdout=quiet, stderr=quiet
        )

    def __enter__(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.address}/_ministack/health", timeout=1).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        raise AssertionError("MiniStack does not come up")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.home.cleanup()

    def client(self, service, key, secret="any", token=None):
        return boto3.client(
            service,
            endpoint_url=self.address,
            region_name="eu-west-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
        )

    def stack(self, account, name, template, parameters):
        """Makes the stack, or brings it up to this template; its outputs."""
        cloudformation = self.client("cloudformation", account)
        known = [stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]]
        make = cloudformation.update_stack if name in known else cloudformation.create_stack
        make(
            StackName=name,
            TemplateBody=template.read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        while True:
            stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                break
            time.sleep(0.05)
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), stack
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def rights(self, account, role):
        """The role's own policies, as documents."""
        iam = self.client("iam", account)
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
