"""What pages and APIs share: ports, and what each request and answer keeps to."""
