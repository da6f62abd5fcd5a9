import os

from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from .models import InboundMail

webhook = Webhook(os.environ["MAILDIRQ_SIGNING_SECRET"])


@csrf_exempt
@require_POST
def inbound_mail(request):
    try:
        webhook.verify(request.body, dict(request.headers))
    except WebhookVerificationError as error:
        return HttpResponse(f"{error}", status=401, content_type="text/plain")
    # A repeat finds its mail already there. Should the database fail, the answer is 500, and the mail comes again.
    InboundMail.objects.get_or_create(
        id=request.headers["webhook-id"], defaults={"message": request.body.decode()}
    )
    return HttpResponse(status=204)
