variable "role_name" {
  description = "How the role is called. With null: GFTR- and the account's number, as Gravitee's documents call it."
  type        = string
  default     = null

  validation {
    condition     = var.role_name == null || can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.role_name))
    error_message = "A role's name has 1 to 64 letters, digits and any of +=,.@_-."
  }
}

variable "rights" {
  description = "discovery: list APIs and read their documents. agent: also make, bind and delete API keys. none: only assume assume_roles."
  type        = string
  default     = "agent"

  validation {
    condition     = contains(["discovery", "agent", "none"], var.rights)
    error_message = "rights is one of discovery, agent and none."
  }
}

variable "runs_on" {
  description = "Who assumes the role: an identity of another account (account), an instance (ec2), a task (ecs), a pod by EKS Pod Identity (eks), or a pod by the cluster's OIDC provider (eks-oidc)."
  type        = string
  default     = "account"

  validation {
    condition     = contains(["account", "ec2", "ecs", "eks", "eks-oidc"], var.runs_on)
    error_message = "runs_on is one of account, ec2, ecs, eks and eks-oidc."
  }
}

variable "trusted_arn" {
  description = "runs_on account: the ARN of the agent's identity, in the account where it runs. It must exist already."
  type        = string
  default     = null

  validation {
    condition     = var.trusted_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/.+$", var.trusted_arn))
    error_message = "trusted_arn is the ARN of one role or user; a whole account is not trusted here."
  }
}

variable "external_id" {
  description = "runs_on account: the external id that the agent's setting externalId holds. With null, none is asked for."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.external_id == null || can(regex("^[A-Za-z0-9+=,.@:/_-]{2,1224}$", var.external_id))
    error_message = "An external id has 2 to 1224 letters, digits and any of +=,.@:/_-."
  }
}

variable "cluster_name" {
  description = "runs_on eks: the cluster."
  type        = string
  default     = null
}

variable "oidc_provider" {
  description = "runs_on eks-oidc: the cluster's OIDC provider without https://, as in oidc.eks.eu-west-1.amazonaws.com/id/ABC."
  type        = string
  default     = null

  validation {
    condition     = var.oidc_provider == null || !can(regex("^(https?://|arn:)", var.oidc_provider))
    error_message = "oidc_provider is the provider's address without https://, and not its ARN."
  }
}

variable "namespace" {
  description = "runs_on eks and eks-oidc: the agent's namespace."
  type        = string
  default     = "gravitee"
}

variable "service_account" {
  description = "runs_on eks and eks-oidc: the agent's service account."
  type        = string
  default     = "federation-agent"
}

variable "every_stage" {
  description = "Whether the agent's setting acceptApiWithoutUsagePlan is true, for which it lists stages."
  type        = bool
  default     = false
}

variable "another_agents_apis" {
  description = "Whether the agent has several accounts and takes over APIs that another agent ingested, for which it asks each account for the API."
  type        = bool
  default     = false
}

variable "find_leftovers" {
  description = "Whether the agent may look through the API keys, to find one that it knows by its name alone. The right that this needs also shows the values of all keys of the account."
  type        = bool
  default     = false
}

variable "assume_roles" {
  description = "The ARNs of the roles in other accounts that the agent assumes."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.assume_roles : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*]+$", arn))])
    error_message = "assume_roles are ARNs of roles, without patterns."
  }
}

variable "permissions_boundary" {
  description = "The ARN of a policy that bounds the role, where your organization asks for one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the role, and of the instance profile."
  type        = map(string)
  default     = {}
}
