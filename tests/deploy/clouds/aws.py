"""The templates of CloudFormation, worked out for many parameters."""

import itertools
import pathlib
import sys

from policies import ACCOUNT, ROLES, ROOT, assuming, of_iam, of_role, run, same, trust, trust_file
from template import Stack, load

ECS = ROOT / "deploy/aws/ecs-fargate.yaml"
STACKSET = ROOT / "deploy/aws/role-stackset.yaml"

GIVEN = {
    "GraviteeFederationImage": "registry.example.com/federation-agent:1",
    "GraviteeFederationUrl": "https://apim.example.com/integration-controller",
    "GraviteeIntegrationId": "f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84",
    "GraviteeFederationRegion": "eu-west-1,us-east-1",
}
TOKEN = "bearer 0a1b2c3d-not-to-be-seen"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:plane-AbCdEf"
PARAMETER = f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/federation/plane"
ADDITIONS = {"EveryStage": "every-stage", "AnotherAgentsApis": "another-agents-apis", "FindLeftovers": "find-leftovers"}


def task(**parameters):
    return Stack(load(ECS), {**GIVEN, **parameters})


def templates_pass_cfn_lint():
    files = [str(path) for folder in ("deploy", "iam") for path in sorted((ROOT / folder).rglob("*.yaml"))]
    files = [path for path in files if "AWSTemplateFormatVersion" in pathlib.Path(path).read_text()]
    assert len(files) >= 3, files
    said = run(str(pathlib.Path(sys.executable).with_name("cfn-lint")), "--", *files)
    assert said.returncode == 0, said.stdout + said.stderr
    for path in files:
        assert pathlib.Path(path).stat().st_size <= 51_200, f"{path}: a longer one cannot be handed over in a command"


def the_tasks_role_has_the_rights_of_iam():
    for given, expected in [
        ({}, of_iam("agent")),
        ({"Rights": "discovery"}, of_iam("discovery")),
        ({"acceptApiWithoutUsagePlan": "true"}, of_iam("agent", "every-stage")),
        ({"FindLeftovers": "true"}, of_iam("agent", "find-leftovers")),
        ({"RoleArns": ",".join(ROLES)}, assuming(ROLES)),
        ({"RoleArns": ",".join(ROLES), "FindLeftovers": "true", "acceptApiWithoutUsagePlan": "true"}, assuming(ROLES)),
    ]:
        role = task(GraviteeAuth=TOKEN, **given).resource("FederationAgentTaskRole")
        same(of_role(role), expected, given)
        same(trust(role["AssumeRolePolicyDocument"]), trust_file("ecs"))


def the_execution_role_reads_one_token_and_writes_one_log():
    log = [(action, "AgentLogGroup.Arn", "null") for action in ("logs:CreateLogStream", "logs:PutLogEvents")]
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/one"
    repository = f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/federation-agent"
    pulls = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    for given, rights in [
        ({"GraviteeAuth": TOKEN}, [("secretsmanager:GetSecretValue", "TokenSecret", "null")]),
        ({"TokenSecretArn": SECRET}, [("secretsmanager:GetSecretValue", SECRET, "null")]),
        ({"TokenSecretArn": f"{SECRET}:token::"}, [("secretsmanager:GetSecretValue", SECRET, "null")]),
        (
            {"TokenParameterArn": PARAMETER, "TokenKeyArn": key},
            [("ssm:GetParameters", PARAMETER, "null"), ("kms:Decrypt", key, "null")],
        ),
        (
            {"TokenSecretArn": SECRET, "ImageRepositoryArn": repository},
            [("secretsmanager:GetSecretValue", SECRET, "null"), ("ecr:GetAuthorizationToken", "*", "null")]
            + [(action, repository, "null") for action in pulls],
        ),
    ]:
        same(of_role(task(**given).resource("TaskExecutionRole")), sorted(log + rights), given)


def the_token_is_in_no_task_definition():
    for given, source in [
        ({"GraviteeAuth": TOKEN}, "TokenSecret"),
        ({"TokenSecretArn": f"{SECRET}:token::"}, f"{SECRET}:token::"),
        ({"TokenParameterArn": PARAMETER}, PARAMETER),
    ]:
        stack = task(**given)
        (container,) = stack.resource("FederationAgentTaskDefinition")["ContainerDefinitions"]
        same(container["Secrets"], [{"Name": "gravitee_integration_connector_ws_headers_0_value", "ValueFrom": source}])
        assert TOKEN not in repr(container)
        holders = [name for name in stack.template["Resources"] if TOKEN in repr(stack.resource(name))]
        same(holders, ["TokenSecret"] if "GraviteeAuth" in given else [])
    assert load(ECS)["Parameters"]["GraviteeAuth"]["NoEcho"] is True


def one_task_is_confined_and_two_never_run_at_once():
    stack = task(GraviteeAuth=TOKEN)
    service = stack.resource("FederationAgentService")
    deployment = service["DeploymentConfiguration"]
    found = service["DesiredCount"], deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]
    same((*found, service["AvailabilityZoneRebalancing"]), (1, 0, 100, "DISABLED"))
    same(deployment["DeploymentCircuitBreaker"], {"Enable": True, "Rollback": True})
    assert "LoadBalancers" not in service
    definition = stack.resource("FederationAgentTaskDefinition")
    same((definition["Cpu"], definition["Memory"]), ("256", "512"))
    (container,) = definition["ContainerDefinitions"]
    same((container["User"], container["ReadonlyRootFilesystem"]), ("65532:65532", True))
    same(container["LinuxParameters"]["Capabilities"], {"Drop": ["ALL"]})
    same(container["HealthCheck"]["Command"], ["CMD", "/usr/local/bin/federation-agent", "health"])
    drain = int(dict((v["Name"], v["Value"]) for v in container["Environment"])["FEDERATION_AGENT_DRAIN"].rstrip("s"))
    assert drain + 1 < container["StopTimeout"] <= 120, "Fargate waits 120 s at most"
    assert definition["TaskRoleArn"] != definition["ExecutionRoleArn"]
    assert "SecurityGroupIngress" not in stack.resource("GraviteeSecurityGroup")


def the_journal_is_the_tasks_alone_and_encrypted():
    stack = task(GraviteeAuth=TOKEN)
    (volume,) = stack.resource("FederationAgentTaskDefinition")["Volumes"]
    same(volume["EFSVolumeConfiguration"]["TransitEncryption"], "ENABLED")
    same(volume["EFSVolumeConfiguration"]["AuthorizationConfig"], {"AccessPointId": "JournalFolder", "IAM": "ENABLED"})
    folder = stack.resource("JournalFolder")
    same(folder["PosixUser"], {"Uid": "65532", "Gid": "65532"})
    same(folder["RootDirectory"]["CreationInfo"]["OwnerUid"], "65532")
    assert stack.resource("Journal")["Encrypted"] is True
    (ingress,) = stack.resource("JournalSecurityGroup")["SecurityGroupIngress"]
    same((ingress["FromPort"], ingress["ToPort"]), (2049, 2049))
    same(ingress["SourceSecurityGroupId"], "GraviteeSecurityGroup.GroupId")
    (volume,) = task(GraviteeAuth=TOKEN, KeepJournal="false").resource("FederationAgentTaskDefinition")["Volumes"]
    same(volume, {"Name": "data"}, "without it the folder can still be written")


NETWORK = {"VpcId": "vpc-0a1b2c3d", "SubnetId": "subnet-0a1b2c31", "AssignPublicIp": "DISABLED"}
SECOND = {**NETWORK, "SecondSubnetId": "subnet-0a1b2c32"}
THIRD = {**SECOND, "ThirdSubnetId": "subnet-0a1b2c33", "SecurityGroupId": "sg-0a1b2c3d"}


def every_choice_of_network_and_journal_holds_together():
    for network, journal in itertools.product([{}, NETWORK, SECOND, THIRD], ["true", "false"]):
        stack = task(TokenSecretArn=SECRET, KeepJournal=journal, **network)
        same((stack.broken_rules(), stack.left_open()), ([], set()), network)
        service = stack.resource("FederationAgentService")
        subnets = service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
        same(
            subnets,
            [network[name] for name in sorted(network) if "Subnet" in name and "Id" in name]
            and [network[name] for name in ("SubnetId", "SecondSubnetId", "ThirdSubnetId") if name in network]
            or ["GraviteePublicSubnet"],
        )
        mounts = ["JournalMount", "SecondJournalMount", "ThirdJournalMount"]
        mounted = [stack.resource(name)["SubnetId"] for name in mounts if stack.resource(name)]
        same(mounted, subnets if journal == "true" else [], "a mount target in each subnet")
        waits = [tag["Value"] for tag in service["Tags"]]
        same([name for name in mounts if name in waits], [name for name in mounts if stack.resource(name)])


def parameters_that_do_not_fit_are_refused_with_a_sentence():
    for given, says in [
        ({}, "Set one of"),
        ({"GraviteeAuth": TOKEN, "TokenSecretArn": SECRET}, "not more"),
        ({"TokenParameterArn": PARAMETER, "TokenSecretArn": SECRET}, "not more"),
        ({"GraviteeAuth": TOKEN, "RoleBasedAuth": "false"}, "RoleBasedAuth=false"),
        ({"GraviteeAuth": TOKEN, "VpcId": "vpc-0a1b2c3d"}, "VpcId needs SubnetId"),
        ({"GraviteeAuth": TOKEN, "SubnetId": "subnet-0a1b2c31"}, "need VpcId"),
        ({"GraviteeAuth": TOKEN, **NETWORK, "ThirdSubnetId": "subnet-0a1b2c33"}, "SecondSubnetId"),
    ]:
        broken = task(**given).broken_rules()
        assert len(broken) == 1 and says in broken[0], (given, broken)


def the_stacksets_role_has_the_rights_of_iam():
    agent = f"arn:aws:iam::{ACCOUNT}:role/federation-agent"
    names = list(ADDITIONS)
    for rights, chosen in itertools.product(["agent", "discovery"], itertools.product(["true", "false"], repeat=3)):
        given = dict(zip(names, chosen, strict=True)) | {"Rights": rights, "AgentArn": agent}
        role = Stack(load(STACKSET), given).resource("GraviteeFederationTargetRole")
        same(of_role(role), of_iam(rights, *(ADDITIONS[name] for name in names if given[name] == "true")), given)
        same(role["RoleName"], f"GFTR-{ACCOUNT}")
    expected = trust_file("account")
    stack = Stack(load(STACKSET), {"AgentArn": agent, "ExternalId": "choose-a-long-random-text"})
    same(trust(stack.resource("GraviteeFederationTargetRole")["AssumeRolePolicyDocument"]), expected)
    stack = Stack(load(STACKSET), {"AgentArn": agent})
    del expected[0]["Condition"]
    same(trust(stack.resource("GraviteeFederationTargetRole")["AssumeRolePolicyDocument"]), expected)
