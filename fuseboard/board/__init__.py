"""The breaker table as views, for the API, the command line and the page."""
