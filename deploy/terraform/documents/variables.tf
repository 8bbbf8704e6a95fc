# Declared once more in ../variables.tf, with what they mean.

variable "partition" { type = string }
variable "account_id" { type = string }
variable "rights" { type = string }
variable "every_stage" { type = bool }
variable "another_agents_apis" { type = bool }
variable "find_leftovers" { type = bool }
variable "assume_roles" { type = list(string) }
variable "runs_on" { type = string }
variable "trusted_arn" { type = string }
variable "external_id" { type = string }
variable "cluster_name" { type = string }
variable "oidc_provider" { type = string }
variable "namespace" { type = string }
variable "service_account" { type = string }
variable "url_suffix" { type = string }
