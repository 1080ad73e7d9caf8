"""What the gateway tells its operators. Never a secret, a prompt or an answer."""
