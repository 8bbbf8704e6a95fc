# The federation agent's role: what it may do with API Gateway, and who may be the agent. The same as
# iam/cloudformation.yaml makes.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  role_name = var.role_name == null ? "GFTR-${data.aws_caller_identity.current.account_id}" : var.role_name
}

module "documents" {
  source = "./documents"

  partition           = data.aws_partition.current.partition
  url_suffix          = data.aws_partition.current.dns_suffix
  account_id          = data.aws_caller_identity.current.account_id
  rights              = var.rights
  every_stage         = var.every_stage
  another_agents_apis = var.another_agents_apis
  find_leftovers      = var.find_leftovers
  assume_roles        = var.assume_roles
  runs_on             = var.runs_on
  trusted_arn         = var.trusted_arn
  external_id         = var.external_id
  cluster_name        = var.cluster_name
  oidc_provider       = var.oidc_provider
  namespace           = var.namespace
  service_account     = var.service_account
}

resource "aws_iam_role" "agent" {
  name                 = local.role_name
  description          = "Discovers APIs in API Gateway for the management plane, and makes API keys for subscriptions."
  assume_role_policy   = module.documents.trust
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  lifecycle {
    precondition {
      condition     = var.runs_on != "account" || var.trusted_arn != null
      error_message = "runs_on account needs trusted_arn."
    }
    precondition {
      condition     = var.runs_on != "eks" || var.cluster_name != null
      error_message = "runs_on eks needs cluster_name."
    }
    precondition {
      condition     = var.runs_on != "eks-oidc" || var.oidc_provider != null
      error_message = "runs_on eks-oidc needs oidc_provider."
    }
    precondition {
      condition     = var.rights != "none" || length(var.assume_roles) > 0
      error_message = "rights none leaves nothing to do without assume_roles."
    }
  }
}

resource "aws_iam_role_policy" "agent" {
  name   = "federation-agent"
  role   = aws_iam_role.agent.id
  policy = module.documents.policy
}

# An instance takes a role by a profile of the same name.
resource "aws_iam_instance_profile" "agent" {
  count = var.runs_on == "ec2" ? 1 : 0

  name = local.role_name
  role = aws_iam_role.agent.name
  tags = var.tags
}
