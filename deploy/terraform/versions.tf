terraform {
  # Conditions of a resource (lifecycle.precondition).
  required_version = ">= 1.3"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 4.0"
    }
  }
}
