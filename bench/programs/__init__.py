"""What the bench starts in processes of their own: floors, peers, and what loads them."""
