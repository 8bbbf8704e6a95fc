# The federation agent as a job of Nomad, by the docker driver. The token is a Nomad variable, the journal a volume of the
# host. Before the first run:
#
#   nomad var put nomad/jobs/federation-agent token=<the token, without bearer>
#   host_volume "federation-agent" { path = "/srv/federation-agent" }   # in the client's configuration; owned by 65532
#
# nomad job run -var image=registry.example.com/federation-agent:1 -var plane_url=https://apim.example.com/integration-controller \
#   -var integration_id=... deploy/nomad/federation-agent.nomad.hcl

variable "image" {
  description = "The agent's image. None is published; `make docker` builds it."
  type        = string
}

variable "plane_url" {
  description = "Where the integration controller is."
  type        = string
}

variable "integration_id" {
  description = "The integration's id, as the plane's console shows it."
  type        = string
}

variable "regions" {
  description = "The AWS regions whose APIs are federated, separated by commas."
  type        = string
  default     = "eu-west-1"
}

variable "role_arns" {
  description = "The roles to assume, separated by commas; none: the account of the client's own role."
  type        = string
  default     = ""
}

variable "datacenters" {
  description = "Where the job may run."
  type        = list(string)
  default     = ["*"]
}

job "federation-agent" {
  datacenters = var.datacenters
  type        = "service"

  # Without canaries the old allocation is stopped before the new one starts: two never run at once.
  update {
    max_parallel      = 1
    canary            = 0
    health_check      = "task_states"
    min_healthy_time  = "20s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    auto_revert       = true
  }

  group "agent" {
    count = 1

    # The journal is on the client's disk, so another client would begin with an empty one. Where the volume is one of CSI
    # that follows the job, take the two lines out.
    reschedule {
      attempts  = 0
      unlimited = false
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    volume "journal" {
      type      = "host"
      source    = "federation-agent"
      read_only = false
    }

    task "federation-agent" {
      driver = "docker"

      # Longer than the agent drains (FEDERATION_AGENT_DRAIN).
      kill_timeout = "15s"
      kill_signal  = "SIGTERM"

      config {
        image           = var.image
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        pids_limit      = 256
      }

      user = "65532:65532"

      volume_mount {
        volume      = "journal"
        destination = "/var/lib/federation-agent"
      }

      env {
        FEDERATION_AGENT_LOG_FORMAT                            = "json"
        gravitee_integration_connector_ws_endpoints_0          = var.plane_url
        gravitee_integration_connector_ws_headers_0_name       = "Authorization"
        gravitee_integration_connector_ws_headers_0_value_FILE = "/secrets/plane-token"
        gravitee_integration_providers_0_type                  = "aws-api-gateway"
        gravitee_integration_providers_0_integrationId         = var.integration_id
        gravitee_integration_providers_0_configuration_region  = var.regions
        gravitee_integration_providers_0_configuration_roleArn = var.role_arns
      }

      # From Vault instead: {{ with secret "secret/data/federation-agent" }}{{ .Data.data.token }}{{ end }}
      template {
        destination = "secrets/plane-token"
        data        = "bearer {{ with nomadVar \"nomad/jobs/federation-agent\" }}{{ .token }}{{ end }}"
        uid         = 65532
        gid         = 65532
        perms       = "0400"
        change_mode = "restart"
      }

      resources {
        cpu        = 100
        memory     = 64
        memory_max = 128
      }
    }
  }
}
