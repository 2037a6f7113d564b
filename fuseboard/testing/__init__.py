"""What tests of Fuseboard, and of its users' own functions and strategies, build on."""
