"""Why a request ended as it did."""
