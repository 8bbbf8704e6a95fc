"""Holds deploy/ (all but Kubernetes) to iam/ and to the agent, as far as that goes without an AWS account.

`tests/deploy/clouds.sh` runs it. What lacks its peer (MiniStack, Terraform, systemd, the agent's binary) says that it did
not run.
"""

import sys
import traceback

import aws
import emulator
import hosts
import terraform
from policies import DidNotRun

CHECKS = [
    aws.templates_pass_cfn_lint,
    aws.the_tasks_role_has_the_rights_of_iam,
    aws.the_execution_role_reads_one_token_and_writes_one_log,
    aws.the_token_is_in_no_task_definition,
    aws.one_task_is_confined_and_two_never_run_at_once,
    aws.the_journal_is_the_tasks_alone_and_encrypted,
    aws.every_choice_of_network_and_journal_holds_together,
    aws.parameters_that_do_not_fit_are_refused_with_a_sentence,
    aws.the_stacksets_role_has_the_rights_of_iam,
    hosts.the_agent_takes_the_tasks_environment,
    hosts.the_agent_takes_the_units_environment,
    hosts.the_agent_takes_the_jobs_environment,
    terraform.terraforms_files_are_formatted,
    terraform.every_variable_of_the_module_is_declared_used_and_described,
    terraform.terraforms_policies_are_those_of_iam,
    hosts.the_job_of_nomad_runs_one_and_drains_it,
    hosts.the_unit_is_sound_and_hardened,
    hosts.the_unit_drains_and_keeps_its_journal,
    emulator.stacks_come_up_on_ministack,
]


def main():
    passed = failed = skipped = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            check()
        except DidNotRun as why:
            skipped += 1
            print(f"did not run: {name}: {why}")
        except Exception:  # whatever went wrong, the other checks are run
            failed += 1
            print(f"FAILED: {name}\n{traceback.format_exc()}")
        else:
            passed += 1
            print(f"ok: {name}")
    print(f"clouds: {passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
