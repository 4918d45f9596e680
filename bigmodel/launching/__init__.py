"""What starts experiments from outside: processes, job schedulers. It never touches a device."""
