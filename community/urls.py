"""Addresses of this floor: pages, and paths below /api/v1/."""

from django.urls import path

from community import api as doors
from community import privacy_api, privacy_views, views

urlpatterns = [
    path("welcome/<int:step>/", views.welcome, name="welcome"),
    path("places/suggest/", views.places_suggest, name="places_suggest"),
    path("me/", views.me, name="me"),
    path("me/profile/", views.profile, name="profile"),
    path("me/notifications/", views.channels, name="channels"),
    path("me/keys/", views.keys, name="keys"),
    path("me/log/", views.my_log, name="my_log"),
    path("me/data/", privacy_views.my_data, name="my_data"),
    path("me/data/<id:pk>/", privacy_views.export_file, name="export_file"),
    path("me/data/erase/", privacy_views.erase, name="erase"),
    path("me/data/keep/", privacy_views.erase_withdraw, name="erase_withdraw"),
    path("me/household/", views.household, name="household"),
    path("me/household/invite/", views.household_invite, name="household_invite"),
    path("me/household/leave/", views.household_leave, name="household_leave"),
    path("me/household/children/", views.child_add, name="child_add"),
    path("me/household/children/<id:pk>/remove/", views.child_remove, name="child_remove"),
    path("me/household/<id:pk>/<slug:answer>/", views.household_answer, name="household_answer"),
    path("circles/", views.circle_list, name="circles"),
    path("circles/new/", views.circle_new, name="circle_new"),
    path("circles/<id:pk>/join/", views.circle_join, name="circle_join"),
    path("circles/<id:pk>/leave/", views.circle_leave, name="circle_leave"),
    path("circles/<id:pk>/people/<id:member_id>/<slug:answer>/", views.circle_person, name="circle_person"),
]

api = [
    path("me/", doors.Me.as_view(), name="api_me"),
    path("me/export/", privacy_api.ExportAsked.as_view(), name="api_export"),
    path("jobs/<id:pk>/", privacy_api.Job.as_view(), name="api_job"),
    path("jobs/<id:pk>/file/", privacy_api.JobFile.as_view(), name="api_job_file"),
    path("circles/", doors.Circles.as_view(), name="api_circles"),
    path("circles/<id:pk>/", doors.CircleDetail.as_view(), name="api_circle"),
    path("circles/<id:pk>/membership/", doors.Membership.as_view(), name="api_membership"),
    path("places/", doors.Places.as_view(), name="api_places"),
    path("interests/", doors.Interests.as_view(), name="api_interests"),
]
