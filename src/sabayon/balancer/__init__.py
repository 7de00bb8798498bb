"""The load balancer of a controller: which invoker runs an activation. Decides only; the controller carries out."""
