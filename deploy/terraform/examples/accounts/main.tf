# Two accounts whose APIs are federated, and the role that the agent's task has in a third: the roles are called by their
# accounts, so that the agent's identity can name them before they are there, and they can name it once it is.

terraform {
  required_version = ">= 1.3"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 4.0"
    }
  }
}

variable "external_id" {
  description = "A long random text of your own choice."
  type        = string
  sensitive   = true
}

provider "aws" {
  region = "eu-west-1" # the account where the agent runs
}

provider "aws" {
  alias  = "one"
  region = "eu-west-1"

  assume_role {
    role_arn = "arn:aws:iam::111111111111:role/OrganizationAccountAccessRole"
  }
}

provider "aws" {
  alias  = "two"
  region = "eu-west-1"

  assume_role {
    role_arn = "arn:aws:iam::222222222222:role/OrganizationAccountAccessRole"
  }
}

module "agent" {
  source = "../.."

  role_name = "federation-agent"
  rights    = "none"
  runs_on   = "ecs"
  assume_roles = [
    "arn:aws:iam::111111111111:role/GFTR-111111111111",
    "arn:aws:iam::222222222222:role/GFTR-222222222222",
  ]
}

module "one" {
  source    = "../.."
  providers = { aws = aws.one }

  trusted_arn = module.agent.role_arn
  external_id = var.external_id
}

module "two" {
  source    = "../.."
  providers = { aws = aws.two }

  trusted_arn = module.agent.role_arn
  external_id = var.external_id
  rights      = "discovery"
}

output "role_arns" {
  description = "For gravitee_integration_providers_0_configuration_roleArn."
  value       = join(",", [module.one.role_arn, module.two.role_arn])
}
