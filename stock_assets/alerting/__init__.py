"""Who is told: the sensor that watches scores, what it remembers, and how messages get through."""
