output "role_arn" {
  description = "For roleArn in the agent's settings, or for the task, pod or instance that runs it."
  value       = aws_iam_role.agent.arn
}

output "role_name" {
  description = "The role's name."
  value       = aws_iam_role.agent.name
}

output "instance_profile_name" {
  description = "runs_on ec2: the profile for iam_instance_profile of the instance; null otherwise."
  value       = one(aws_iam_instance_profile.agent[*].name)
}

output "policy" {
  description = "What the role may do, as JSON."
  value       = module.documents.policy
}
