from django.urls import path
from waitlist.later import join_later
from waitlist.views import join, join_async

urlpatterns = [path("waitlist", join), path("async", join_async), path("later", join_later)]
