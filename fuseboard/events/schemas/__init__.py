"""The JSON Schemas of what events say, one file per type: what ``dataschema`` names. Generated from the types."""
