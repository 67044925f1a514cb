"""The test rig for durable functions: real servers, real SDKs, no waiting."""
