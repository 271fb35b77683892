"""Series as the store has them: which table answers for which part of a span, and PromQL over them.

Questions of people and rules of alerts stand on it alike. Reading only, on a lent connection.
"""
