"""The templates as stacks on MiniStack, an AWS of other hands."""

import json

from botocore.exceptions import ClientError

from aws import ECS, GIVEN, STACKSET, TOKEN
from ministack import MiniStack
from policies import DidNotRun, allowed, assuming, of_iam, same


def stacks_come_up_on_ministack():
    if not MiniStack.program():
        raise DidNotRun("neither $MINISTACK nor PATH names MiniStack")
    home, away = "100000000001", "100000000002"
    with MiniStack() as ministack:
        one_account = GIVEN | {"GraviteeAuth": TOKEN, "TaskRoleName": "federation-agent"}
        outputs = ministack.stack(home, "agent", ECS, one_account)
        mount = [("elasticfilesystem:ClientMount",), ("elasticfilesystem:ClientWrite",)]
        rights = allowed(*ministack.rights(home, "federation-agent"))
        same([one for one in rights if not one[0].startswith("elasticfilesystem:")], of_iam("agent"))
        same([one[:1] for one in rights if one[0].startswith("elasticfilesystem:")], mount)
        same(outputs["TaskRoleArn"], f"arn:aws:iam::{home}:role/federation-agent")
        ecs = ministack.client("ecs", home)
        cluster = outputs["ECSClusterName"]
        (service,) = ecs.describe_services(cluster=cluster, services=[outputs["FederationAgentService"]])["services"]
        deployment = service["deploymentConfiguration"]
        same((service["desiredCount"], deployment["minimumHealthyPercent"], deployment["maximumPercent"]), (1, 0, 100))
        definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        assert TOKEN not in repr(definition)
        secrets = ministack.client("secretsmanager", home)
        (secret,) = secrets.list_secrets()["SecretList"]
        same(secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"], TOKEN)
        (system,) = ministack.client("efs", home).describe_file_systems()["FileSystems"]
        same((system["FileSystemId"], system["Encrypted"]), (outputs["JournalFileSystem"], True))

        # The same stack goes over to several accounts.
        role = f"arn:aws:iam::{away}:role/GFTR-{away}"
        ministack.stack(home, "agent", ECS, one_account | {"RoleArns": role, "KeepJournal": "false"})
        same(allowed(*ministack.rights(home, "federation-agent")), assuming([role]))

        # The role of the other account is for the agent's identity with its external id, and for nobody else.
        given = {"AgentArn": f"arn:aws:iam::{home}:user/agent", "ExternalId": "sesame"}
        same(ministack.stack(away, "roles", STACKSET, given), {"RoleArn": role})
        iam = ministack.client("iam", home)
        keys = {}
        for name in ("agent", "other"):
            iam.create_user(UserName=name)
            statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="assume", PolicyDocument=policy)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            keys[name] = ministack.client("sts", key["AccessKeyId"], key["SecretAccessKey"])
        assume = {"RoleArn": role, "RoleSessionName": "one"}
        for who, more in [("agent", {}), ("agent", {"ExternalId": "wrong"}), ("other", {"ExternalId": "sesame"})]:
            is_refused(keys[who].assume_role, **assume, **more)
        session = keys["agent"].assume_role(**assume, ExternalId="sesame")["Credentials"]
        credentials = session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]
        gateway = ministack.client("apigateway", *credentials)
        gateway.get_rest_apis()
        is_refused(gateway.get_api_keys)
        is_refused(gateway.create_rest_api, name="one")


def is_refused(call, **arguments):
    try:
        call(**arguments)
    except ClientError as refused:
        assert "AccessDenied" in refused.response["Error"]["Code"], refused
    else:
        raise AssertionError(f"{call} {arguments} is allowed")
