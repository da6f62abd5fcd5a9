from django.db import models


class InboundMail(models.Model):
    id = models.CharField(max_length=64, primary_key=True)  # the webhook-id: the same at every attempt
    message = models.TextField()  # JSON, as it came
    received = models.DateTimeField(auto_now_add=True)
