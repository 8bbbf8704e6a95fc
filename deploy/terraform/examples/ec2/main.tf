# An instance with the agent's role. The systemd unit (deploy/systemd) or Docker runs the agent on it.

terraform {
  required_version = ">= 1.3"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 4.0"
    }
  }
}

variable "ami" {
  description = "The image of the instance: a Linux with systemd."
  type        = string
}

variable "subnet_id" {
  description = "A subnet with a way out."
  type        = string
}

variable "security_group_ids" {
  description = "Security groups that let the instance out. Nothing need come in."
  type        = list(string)
}

provider "aws" {
  region = "eu-west-1"
}

module "agent" {
  source = "../.."

  role_name = "federation-agent"
  runs_on   = "ec2"
}

resource "aws_instance" "agent" {
  ami                    = var.ami
  instance_type          = "t4g.nano"
  subnet_id              = var.subnet_id
  vpc_security_group_ids = var.security_group_ids
  iam_instance_profile   = module.agent.instance_profile_name

  metadata_options {
    http_tokens = "required" # IMDSv2; the agent speaks no other
    # The answer that hands out a token must not go further than so many hops. To a process of the instance it is one; into
    # a container with a network of its own it is two, and with 1 the role is not there.
    http_put_response_hop_limit = 2
  }

  root_block_device {
    encrypted = true
  }

  tags = { Name = "federation-agent" }
}
