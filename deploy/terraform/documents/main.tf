# The policy and the trust policy, from variables alone: without a provider, so that they can be worked out, and compared
# with iam/, on any machine.

terraform {
  required_version = ">= 1.3"
}

locals {
  gateway = "arn:${var.partition}:apigateway:*::"

  discovery = [
    {
      Sid      = "ListApisAndUsagePlans"
      Effect   = "Allow"
      Action   = ["apigateway:GET"]
      Resource = ["${local.gateway}/restapis", "${local.gateway}/usageplans"]
    },
    {
      Sid      = "ReadDocuments"
      Effect   = "Allow"
      Action   = ["apigateway:GET"]
      Resource = ["${local.gateway}/restapis/*/stages/*/exports/oas30"]
    },
  ]

  subscriptions = [
    {
      Sid      = "MakeAndBindKeys"
      Effect   = "Allow"
      Action   = ["apigateway:POST"]
      Resource = ["${local.gateway}/apikeys", "${local.gateway}/usageplans/*/keys"]
    },
    {
      Sid      = "DeleteKeys"
      Effect   = "Allow"
      Action   = ["apigateway:DELETE"]
      Resource = ["${local.gateway}/apikeys/*"]
    },
  ]

  every_stage = [{
    Sid      = "ListStages"
    Effect   = "Allow"
    Action   = ["apigateway:GET"]
    Resource = ["${local.gateway}/restapis/*/stages"]
  }]

  another_agents_apis = [{
    Sid      = "FindTheAccountOfAnApi"
    Effect   = "Allow"
    Action   = ["apigateway:GET"]
    Resource = ["${local.gateway}/restapis/*"]
  }]

  find_leftovers = [{
    Sid      = "FindKeysByNameAndSeeAllValues"
    Effect   = "Allow"
    Action   = ["apigateway:GET"]
    Resource = ["${local.gateway}/apikeys"]
  }]

  assume_roles = [{
    Sid      = "AssumeTheRoleInEachAccount"
    Effect   = "Allow"
    Action   = ["sts:AssumeRole"]
    Resource = var.assume_roles
  }]

  discovers = var.rights != "none"

  statements = concat(
    [for statement in local.discovery : statement if local.discovers],
    [for statement in local.subscriptions : statement if var.rights == "agent"],
    [for statement in local.every_stage : statement if local.discovers && var.every_stage],
    [for statement in local.another_agents_apis : statement if local.discovers && var.another_agents_apis],
    [for statement in local.find_leftovers : statement if local.discovers && var.find_leftovers],
    [for statement in local.assume_roles : statement if length(var.assume_roles) > 0],
  )

  # As texts: their conditions are of different shapes, which one map of objects cannot hold.
  trust = {
    account = jsonencode(merge(
      { Effect = "Allow", Principal = { AWS = var.trusted_arn }, Action = ["sts:AssumeRole"] },
      var.external_id == null ? {} : { Condition = { StringEquals = { "sts:ExternalId" = var.external_id } } },
    ))
    ec2 = jsonencode({
      Effect    = "Allow"
      Principal = { Service = "ec2.${var.url_suffix}" }
      Action    = ["sts:AssumeRole"]
    })
    ecs = jsonencode({
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = ["sts:AssumeRole"]
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${var.partition}:ecs:*:${var.account_id}:*" }
      }
    })
    eks = jsonencode({
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:SourceAccount"                         = var.account_id
          "aws:RequestTag/eks-cluster-name"           = var.cluster_name
          "aws:RequestTag/kubernetes-namespace"       = var.namespace
          "aws:RequestTag/kubernetes-service-account" = var.service_account
        }
      }
    })
    eks-oidc = jsonencode({
      Effect    = "Allow"
      Principal = { Federated = "arn:${var.partition}:iam::${var.account_id}:oidc-provider/${var.oidc_provider == null ? "" : var.oidc_provider}" }
      Action    = ["sts:AssumeRoleWithWebIdentity"]
      Condition = {
        StringEquals = {
          "${var.oidc_provider == null ? "" : var.oidc_provider}:aud" = "sts.amazonaws.com"
          "${var.oidc_provider == null ? "" : var.oidc_provider}:sub" = "system:serviceaccount:${var.namespace}:${var.service_account}"
        }
      }
    })
  }
}

output "policy" {
  description = "What the role may do, as JSON."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

output "trust" {
  description = "Who may be the role, as JSON."
  value       = jsonencode({ Version = "2012-10-17", Statement = [jsondecode(local.trust[var.runs_on])] })
}
