"""What is known of profiles: listed in the background, looked up in memory."""
