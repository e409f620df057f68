//! End to end tests, on the local cloud, over the real template and the real function binaries.
